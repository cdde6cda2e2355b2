"""`graphmem checkpoint --problem`: its JSON follows the schema, its exit codes and errors say what they must."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

import graphmem
from graphmem.checkpoint.evaluate import judged
from graphmem.cli.checkpoint import checkpoint
from graphmem.ir.recompute import ModelFrontier
from graphmem.report.checkpoint_code import code
from graphmem.report.envelope import schema_text
from graphmem.report.frontier import model_frontier_text
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
        (["--ratio", "0.5"], "give a MODEL, or --problem FILE"),
        (["model.onnx", "--problem", "{}", "--ratio", "0.5"], "give a MODEL, or --problem FILE"),
        (["--problem", "{}", "--ratio", "0.5", "--emit", "torch"], "--emit goes with a MODEL"),
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


MODEL = [str(Path(__file__).parents[2] / "models" / "tiny_gpt.onnx"), "--dim", "sequence=16", "--batch", "16"]


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """The JSON of a frontier, and of a budget."""
    asked = {"frontier": ["--frontier"], "budget": ["--ratio", "0.7"]}
    runs = {k: CliRunner().invoke(checkpoint, [*MODEL, *more, "--format", "json"]) for k, more in asked.items()}
    assert all(run.exit_code == 0 for run in runs.values()), runs
    return {k: json.loads(run.stdout) for k, run in runs.items()}


@pytest.mark.parametrize("ask", ["frontier", "budget"])
def test_json_of_a_model_follows_the_schema(answers: dict[str, Any], ask: str) -> None:
    jsonschema.validate(answers[ask], json.loads(schema_text("checkpoint")))
    for point in answers[ask]["points"]:
        assert point["peak_bytes"] <= point["budget_bytes"]
        assert point["overhead_bound"] <= point["overhead"]
        assert bool(point["wrap"]) is (point["evaluator"] == "step")
        assert not set(point["keep"]) & set(point["recompute"])


def test_the_frontier_goes_from_keep_all_to_the_least_peak(answers: dict[str, Any]) -> None:
    found = answers["frontier"]
    points = found["points"]
    assert (points[0]["peak_bytes"], points[0]["overhead"]) == (found["baseline_peak_bytes"], 0)
    assert points[-1]["peak_bytes"] == found["least_peak_bytes"]
    for one, next_ in pairwise(points):
        assert one["peak_bytes"] > next_["peak_bytes"]
        assert one["overhead"] < next_["overhead"]
    for habit in found["practice"]:
        within = [p["overhead"] for p in points if p["peak_bytes"] <= habit["peak_bytes"]]
        assert min(within) <= habit["overhead"]


def test_a_budget_gets_a_plan_of_whole_modules_first(answers: dict[str, Any]) -> None:
    first = answers["budget"]["points"][0]
    assert first["grain"] == "module"
    assert {w["scope"].split(".")[0] for w in first["wrap"]} == {"blocks"}


@pytest.fixture(scope="module")
def found() -> ModelFrontier:
    """The answer for a budget."""
    return graphmem.checkpoint_frontier(MODEL[0], {"sequence": 16}, batch=16, ratio=0.7)


@pytest.mark.parametrize(
    ("form", "part"),
    [
        ("torch", "use_reentrant=False"),
        ("sac", "use_reentrant=False"),
        ("hf", "gradient_checkpointing_enable(): "),
        ("jax", "save_only_these_names"),
    ],
)
def test_what_to_paste_is_code_that_compiles(found: ModelFrontier, form: str, part: str) -> None:
    text = code(found, form)
    assert part in text
    if form != "hf":
        compile(text, form, "exec")


def test_a_budget_below_the_least_peak_says_what_stands_in_the_way() -> None:
    run = CliRunner().invoke(checkpoint, [*MODEL, "--budget", "100KiB"])
    assert run.exit_code == 1
    assert "the least peak reached is" in run.output
    assert "are proved necessary" in run.output
    assert "parameters, buffers, optimizer state, inputs" in run.output


def test_code_for_a_budget_that_no_module_plan_fits_is_refused() -> None:
    run = CliRunner().invoke(checkpoint, [*MODEL, "--ratio", "0.5", "--emit", "torch"])
    assert run.exit_code == 1
    assert "no plan of whole modules fits" in run.output


def test_the_table_of_a_model_fits_80_columns(found: ModelFrontier) -> None:
    for answer in (found, replace(found, budget=None)):
        lines = model_frontier_text(answer, 80).split("# graphmem checkpoint")[0].splitlines()
        assert max(map(len, lines)) <= 80, max(lines, key=len)
