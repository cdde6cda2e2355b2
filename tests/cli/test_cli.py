"""The command line as a user and a script see it: output, exit codes, one clear line for what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from tests.conftest import Finished

Write = Callable[..., Path]
Command = Callable[..., Finished]
MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture
def graphmem(graphmem_command: Command) -> Command:
    return graphmem_command


@pytest.fixture
def relu(model: Write) -> Path:
    return model("g (float[batch, 4] x) => (float[batch, 4] y) { a = Exp(x) y = Relu(a) }")


def test_a_bare_model_is_analyzed(graphmem: Command, relu: Path) -> None:
    assert graphmem(relu, "--batch", 2) == graphmem("analyze", relu, "--batch", 2)
    code, out, _ = graphmem(relu, "--batch", 2)
    assert code == 0
    assert "64 B = 64 bytes" in out  # x + a, then a + y: 2 * (2 * 4) floats


def test_resnet_18_at_batch_128_shows_its_392_mib_convolution(graphmem: Command) -> None:
    _, out, _ = graphmem(MODELS / "resnet18.onnx", "--batch", 128)
    assert "392.00 MiB" in out
    _, out, _ = graphmem(MODELS / "resnet18.onnx", "--batch", 128, "--format", "json")
    assert 411_041_792 in [row["bytes"] for row in json.loads(out)["inference"]["greatest"]]


@pytest.mark.parametrize("name", [path.stem for path in sorted(MODELS.glob("*.onnx"))])
def test_json_follows_the_schema_that_is_shipped(graphmem: Command, name: str) -> None:
    _, schema, _ = graphmem("schema", "analysis")
    code, out, _ = graphmem(MODELS / f"{name}.onnx", "--batch", 1, "--tensors", "--timeline")
    document = json.loads(out)
    assert code == 0
    jsonschema.validate(document, json.loads(schema), cls=jsonschema.Draft202012Validator)
    inference = document["inference"]
    assert max(document["timeline"]) == inference["activation_peak_bytes"]
    assert document["timeline"].index(max(document["timeline"])) == inference["peak_step"]
    alive = sum(row["bytes"] for row in inference["live_at_peak"])
    assert alive + inference["workspace_at_peak_bytes"] == inference["activation_peak_bytes"]


def test_a_report_can_be_written_to_a_file(graphmem: Command, relu: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    assert graphmem(relu, "-o", target)[:2] == (0, "")
    assert json.loads(target.read_text())["schema"] == "graphmem.analysis/1"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["absent.onnx"], "'absent.onnx' does not exist"),
        (["MODEL", "--dim", "batch"], "is not NAME=N"),
        (["MODEL", "--dim", "btch=2"], "did you mean 'batch'"),
        (["MODEL", "--batch", "0"], "must be at least 1"),
        (["MODEL", "--strict"], "bind it with --dim batch=N"),
        (["MODEL", "--order", "random"], "is not one of"),
        (["MODEL", "--nonsense"], "No such option"),
        ([], "Usage"),
    ],
)
def test_wrong_usage_exits_2_with_a_line_that_says_why(
    graphmem: Command, relu: Path, arguments: list[str], reason: str
) -> None:
    code, out, err = graphmem(*[str(relu) if argument == "MODEL" else argument for argument in arguments])
    assert code == 2
    assert out == ""
    assert reason in err
    assert "Traceback" not in err


def test_incomplete_figures_say_so_and_exit_3_when_strict(graphmem: Command, model: Write) -> None:
    path = model("""<ir_version: 8, opset_import: ["" : 17, "acme" : 1]>
    g (float[4] x) => (float[n] y) { a = acme.Magic (x) y = Relu(a) }""")
    code, out, _ = graphmem(path)
    assert code == 0
    assert ">= 16 B" in out
    assert "incomplete: every figure above is a lower bound" in out
    assert "and 1 more that follow from these" in out
    assert graphmem(path, "--strict")[0] == 3


def test_the_output_is_the_same_in_every_process(relu: Path) -> None:
    outputs = set()
    for seed in ("0", "1", "2"):
        command = [sys.executable, "-m", "graphmem", str(MODELS / "tiny_if.onnx"), "--order", "memory", "--timeline"]
        done = subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True)
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert relu.exists()


def test_help_imports_nothing_heavy() -> None:
    script = """
import sys
from graphmem.cli import group
group.main(["--help"], standalone_mode=False)
print([m for m in ("onnx", "numpy", "onnxruntime", "rich", "scipy", "torch") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


OWN_OPERATOR = """<ir_version: 8, opset_import: ["" : 17, "my" : 1]>
g (float[2] x) => (z) { y = my.Op (x)  z = Relu (y) }"""


def test_what_the_file_cannot_say_is_marked_refused_by_strict_and_supplied_by_a_file(
    graphmem: Callable[..., tuple[int, str, str]], model: Callable[..., Path], tmp_path: Path
) -> None:
    path = model(OWN_OPERATOR)
    code, out, _ = graphmem(path)
    assert code == 0
    assert "≥" in out or ">=" in out
    assert graphmem(path, "--strict")[0] == 3
    types = tmp_path / "types.json"
    types.write_text('{"y": {"dtype": "float32", "shape": [3]}}')
    code, out, _ = graphmem(path, "--strict", "--shapes-from", types)
    assert code == 0
    assert "24 B = 24 bytes" in out  # y + z
    types.write_text('{"nobody": {"dtype": "float32", "shape": [3]}}')
    assert graphmem(path, "--shapes-from", types)[0] == 2


def test_a_trip_count_for_no_loop_is_refused(
    graphmem: Callable[..., tuple[int, str, str]], model: Callable[..., Path]
) -> None:
    code, _, err = graphmem(model(OWN_OPERATOR), "--trip-count", "nobody=3")
    assert code == 2
    assert "no loop named 'nobody'" in err


MERGED = """g (bool cached, float[2, 4] x) => (float[n, m] y) {
    [pick] y = If (cached) <then_branch = t () => (float[a, b] p) { p = Concat <axis = 0> (x, x) },
                            else_branch = e () => (float[a, b] q) { q = Relu(x) }> }"""


@pytest.mark.parametrize(
    ("option", "given", "shape"),
    [
        ("--branch", "pick=then", [4, 4]),
        ("--branch", "y=else", [2, 4]),
        ("--input", "cached=true", [4, 4]),
        ("--input", "cached=0", [2, 4]),
    ],
)
def test_options_choose_where_the_data_would(
    graphmem_command: Callable[..., Finished], model: Callable[..., Path], option: str, given: str, shape: list[int]
) -> None:
    done = graphmem_command("analyze", model(MERGED), option, given, "--tensors", "--format", "json")
    document = json.loads(done.out)
    assert (document["exactness"], document["tensors"]["y"]["shape"]) == ("exact", shape)


@pytest.mark.parametrize(
    ("option", "given", "reason"),
    [
        ("--branch", "pick=both", "neither NAME=then nor NAME=else"),
        ("--branch", "nobody=then", "no If named 'nobody'"),
        ("--input", "cached=maybe", "is not NAME=VALUE"),
        ("--input", "nobody=1", "no input named 'nobody'"),
        ("--input", "x=1", "neither integers nor booleans"),
    ],
)
def test_choices_that_fit_nothing_are_refused(
    graphmem_command: Callable[..., Finished], model: Callable[..., Path], option: str, given: str, reason: str
) -> None:
    done = graphmem_command("analyze", model(MERGED), option, given)
    assert (done.code, reason in done.err) == (2, True)
