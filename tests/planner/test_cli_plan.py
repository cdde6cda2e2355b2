from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

import graphmem
from graphmem.ir.errors import InputError
from graphmem.ir.memory import Lifetime
from graphmem.planner import Options, plan
from graphmem.planner.table import table_of, table_text
from graphmem.report.plan import plan_header
from tests.conftest import Finished

Command = Callable[..., Finished]
MODELS = Path(__file__).parents[2] / "models"

ROWS = "id,lower,upper,size\na/b:0,0,2,8\na.b:0,1,3,8\nc,2,4,8\n"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text(ROWS)
    return path


@pytest.fixture
def run(graphmem_command: Command) -> Command:
    return lambda *arguments: graphmem_command("plan", *arguments)


def test_the_table_states_arena_bound_and_proof(run: Command, rows: Path) -> None:
    result = run("--lifetimes", rows)
    assert result.code == 0
    assert "16 B (16 bytes), proved optimal" in result.out  # 8 + 8


def test_json_has_the_promised_keys(run: Command, rows: Path) -> None:
    document = json.loads(run("--lifetimes", rows, "--format", "json").out)
    assert document["schema"] == "graphmem.plan/1"
    assert (document["arena_bytes"], document["lower_bound_bytes"], document["optimal"]) == (16, 16, True)
    assert document["placements"][2] == {"tensor": "c", "offset": 8, "bytes": 8, "first_step": 2, "last_step": 3}


def test_csv_output_is_read_back_as_fixed_offsets(run: Command, rows: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.csv"
    assert run("--lifetimes", rows, "--format", "csv", "-o", again).code == 0
    assert table_of(again.read_text()).fixed == {"a/b:0": 8, "a.b:0": 0, "c": 8}
    assert run("--lifetimes", again, "--format", "csv").out == again.read_text()


def test_an_arena_beyond_the_capacity_exits_with_one(run: Command, rows: Path) -> None:
    assert run("--lifetimes", rows, "--capacity", 16).code == 0
    assert run("--lifetimes", rows, "--capacity", 15).code == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "id,lower,upper\na,0,1\n",
        "id,lower,upper,size\na,0,1,big\n",
        "id,lower,upper,size\na,0,1\n",
        "id,lower,upper,size\na,3,1,8\n",
        "id,lower,upper,size\na,0,1,-8\n",
        "id,lower,upper,size\na,0,1,8\na,1,2,8\n",
        "id,lower,upper,size,alignment\na,0,1,8,0\n",
    ],
)
def test_a_senseless_file_is_one_line_on_stderr_and_exit_code_two(run: Command, text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    result = run("--lifetimes", path)
    assert (result.code, result.err.count("\n")) == (2, 1)


def test_neither_or_both_sources_are_a_usage_error(run: Command, rows: Path) -> None:
    assert run().code == run("model.onnx", "--lifetimes", rows).code == 2


def test_columns_are_found_by_name_in_any_order() -> None:
    table = table_of("size,buffer_id,alignment,end,begin\n8,x,,5,1\n4,y,16,3,2\n")
    assert list(table.lifetimes) == [Lifetime("x", 8, 1, 5), Lifetime("y", 4, 2, 3)]
    assert table.alignments == {"y": 16}


def test_an_alignment_of_zero_is_refused() -> None:
    with pytest.raises(InputError, match="line 2"):
        table_of("id,lower,upper,size,alignment\na,0,1,8,0\n")


def test_the_header_compiles_and_names_are_apart() -> None:
    header = plan_header(plan(table_of(ROWS).lifetimes, Options(timeout=None)))
    assert "#define GRAPHMEM_OFFSET_A_B_0_2 0ULL" in header
    assert "#define GRAPHMEM_ARENA_BYTES 16ULL" in header
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler on this machine")
    subprocess.run([compiler, "-fsyntax-only", "-x", "c", "-"], input=header, text=True, check=True)


def test_text_written_is_the_text_minimalloc_reads() -> None:
    text = table_text(plan(table_of(ROWS).lifetimes))
    assert text.splitlines()[:2] == ["id,lower,upper,size,offset", "a/b:0,0,2,8,8"]


def test_a_model_is_planned_at_its_bound_and_named_by_its_tensors(run: Command) -> None:
    document = json.loads(run(MODELS / "resnet50.onnx", "--batch", 1, "--format", "json").out)
    assert document["arena_bytes"] == document["lower_bound_bytes"] == 9_633_792
    assert document["placements"][0]["tensor"] == "x"


def test_a_model_with_a_tensor_of_unknown_size_is_not_planned(run: Command, model: Callable[..., Path]) -> None:
    path = model("""<ir_version: 8, opset_import: ["" : 17, "acme" : 1]>
    g (float[4] x) => (float[n] y) { y = acme.Magic (x) }""")
    result = run(path)
    assert result.code == 2
    assert "a plan needs the size of every tensor" in result.err


@pytest.mark.parametrize("more", [(), ("--execute",)])
def test_json_follows_the_schema_that_is_shipped(graphmem_command: Command, more: tuple[str, ...]) -> None:
    schema = json.loads(graphmem_command("schema", "plan").out)
    document = graphmem_command("plan", MODELS / "tiny_cnn.onnx", "--format", "json", *more).out
    jsonschema.validate(json.loads(document), schema, cls=jsonschema.Draft202012Validator)


def test_a_reordering_is_taken_where_it_lowers_the_arena(model: Callable[..., Path]) -> None:
    path = model("""g (float[64] x) => (float[1] y)
    { a = Exp (x) b = Neg (x) s = ReduceMax <keepdims=1> (a) t = ReduceMax <keepdims=1> (b) y = Add (s, t) }""")
    arenas = [graphmem.plan(path, order=order).arena for order in ("file", "memory")]
    assert arenas == [3 * 256, 2 * 256 + 64]  # x + a + b; a is reduced to s before b is made


def test_lifetimes_of_any_origin_are_planned() -> None:
    lifetimes = table_of(ROWS).lifetimes
    assert graphmem.plan_lifetimes(lifetimes).arena == 2 * 64
    assert graphmem.plan_lifetimes(lifetimes, alignment=8).arena == 8 + 8
