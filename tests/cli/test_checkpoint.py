"""`graphmem checkpoint --problem`: its JSON follows the schema, its exit codes and errors say what they must."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from graphmem.checkpoint.evaluate import judged
from graphmem.cli.checkpoint import checkpoint
from graphmem.report.documents import schema_text
from tests.checkpoint.questions import chain, document

ASKED = chain(10, 2)


@pytest.fixture
def problem(tmp_path: Path) -> str:
    path = tmp_path / "problem.json"
    path.write_text(document(ASKED))
    return str(path)


@pytest.mark.parametrize("ask", [["--ratio", "0.7"], ["--frontier"], ["--budget", "1GiB"]])
def test_json_follows_the_schema_and_the_evaluator_agrees(problem: str, ask: list[str]) -> None:
    pytest.importorskip("scipy", reason="the minimum cuts need the extra 'checkpoint'")
    result = CliRunner().invoke(checkpoint, ["--problem", problem, "--keep-order", "--format", "json", *ask])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    jsonschema.validate(found, json.loads(schema_text("checkpoint")))
    for point in found["points"]:
        check = judged(ASKED, point["order"], "")
        assert check.peak == point["peak_bytes"] <= point["budget_bytes"]
        assert check.cost == found["step_flops"] + point["recompute_flops"]
        assert point["overhead_bound"] <= point["overhead"]


def test_an_impossible_budget_says_what_stands_in_the_way(problem: str) -> None:
    result = CliRunner().invoke(checkpoint, ["--problem", problem, "--budget", "1"])
    assert result.exit_code == 1
    assert "impossible: operation" in result.output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--ratio", "0.5"], "Missing option '--problem'"),
        (["--problem", "{}"], "one of --budget"),
        (["--problem", "{}", "--budget", "4 elephants"], "is not a size"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(problem: str, arguments: list[str], complaint: str) -> None:
    result = CliRunner().invoke(checkpoint, [argument.format(problem) for argument in arguments])
    assert result.exit_code == 2
    assert complaint in result.output


@pytest.mark.parametrize(
    "text", ["", "[]", '{"nodes": [], "edges": []}', '{"nodes": [{"bytes": 1, "cost": 1}], "edges": [[0, 0]]}']
)
def test_a_broken_problem_file_is_an_input_error(tmp_path: Path, text: str) -> None:
    from graphmem.ir.errors import InputError

    path = tmp_path / "broken.json"
    path.write_text(text)
    result = CliRunner().invoke(checkpoint, ["--problem", str(path), "--frontier"])
    assert isinstance(result.exception, InputError)


def test_the_table_names_what_is_computed_again(problem: str) -> None:
    pytest.importorskip("scipy", reason="the minimum cuts need the extra 'checkpoint'")
    runner = CliRunner()
    assert (
        "computed again" in runner.invoke(checkpoint, ["--problem", problem, "--keep-order", "--ratio", "0.75"]).output
    )
    assert (
        "of the keep-all peak" in runner.invoke(checkpoint, ["--problem", problem, "--keep-order", "--frontier"]).output
    )
