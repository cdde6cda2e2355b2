"""The onnxruntime memory model from file to figure, its advice, and the reordered copy."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import onnx
import pytest

import graphmem
from graphmem.ir.errors import OptionError
from graphmem.ir.runtime import SessionOptions
from graphmem.ort.optimize import optimize
from graphmem.report.analysis import analysis_document, analysis_text
from graphmem.report.envelope import schema_text

# a(256) is freed after b; the free list hands it to d, so it is held while b and c (1024 each) are alive
IDLE = (
    "g (float[1,64] x) => (float[1,64] y) { a = Exp(x) b = Concat<axis = 0>(a, a, a, a) c = Neg(b) "
    "d = ReduceMax<axes = [0]>(c) e = Neg(d) y = Neg(e) }"
)


def analyzed(path: Path, **options: object) -> graphmem.Analysis:
    session = SessionOptions(optimization="off", **options)  # type: ignore[arg-type]
    return graphmem.analyze(path, memory_model="onnxruntime", session=session)


def test_an_idle_buffer_is_counted_and_advised_against(model: Callable[..., Path]) -> None:
    path = model(IDLE)
    memory = analyzed(path).inference.onnxruntime
    assert memory is not None
    assert memory.first_run_peak == 256 + 1024 + 1024  # a, held for d, and b, c
    without = analyzed(path, reuse=False).inference.onnxruntime
    assert without is not None
    assert without.first_run_peak == 1024 + 1024
    assert memory.pattern_peak == 256 + 1024 + 1024 + 256  # the block, and y
    assert {row.saving for row in memory.advice if "reuse" in row.change} == {512}


def test_the_document_follows_its_schema(model: Callable[..., Path]) -> None:
    document = analysis_document(analyzed(model(IDLE)))
    jsonschema.validate(document, json.loads(schema_text("analysis")))
    assert document["inference"]["first_run_peak_bytes"] == document["inference"]["activation_peak_bytes"]
    assert document["inference"]["arena_bytes"] == 1 << 20


def test_options_that_are_off_print_as_off(model: Callable[..., Path]) -> None:
    analysis = analyzed(model(IDLE), pattern=False, arena=False)
    assert analysis.inference.onnxruntime is not None
    assert analysis.inference.onnxruntime.pattern_peak is None
    assert "off" in analysis_text(analysis)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"memory_model": "views", "session": SessionOptions()}, "session options go with"),
        ({"memory_model": "onnxruntime", "order": "memory"}, "graphmem optimize"),
        ({"memory_model": "plain", "order": "onnxruntime"}, "memory model 'onnxruntime' only"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: dict[str, object], words: str, model: Callable[..., Path]
) -> None:
    with pytest.raises(OptionError, match=words):
        graphmem.analyze(model(IDLE), **options)  # type: ignore[arg-type]


def test_absent_weights_are_made_up_and_said_so(tmp_path: Path) -> None:
    header = '<ir_version: 8, opset_import: ["" : 17]>\n'
    zeros = ", ".join(["0"] * 128)
    body = f"g (float[4,8] x) => (float[4,16] y) <float[8,16] w = {{{zeros}}}> {{ a = MatMul(x, w) y = Neg(a) }}"
    proto = onnx.parser.parse_model(header + body)
    weight = proto.graph.initializer[0]
    weight.ClearField("float_data")
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "nowhere.bin"), ("offset", "0"), ("length", "512")):
        weight.external_data.add(key=key, value=value)
    path = tmp_path / "absent.onnx"
    path.write_bytes(proto.SerializeToString())
    analysis = graphmem.analyze(path, memory_model="onnxruntime")
    assert any("512 bytes made up" in issue.what for issue in analysis.issues)
    assert analysis.inference.peak == 256 + 256
    assert [entry.name for entry in tmp_path.iterdir()] == ["absent.onnx"]  # nothing was left beside the model


def test_nothing_of_onnxruntime_is_imported_unless_asked_for(model: Callable[..., Path]) -> None:
    code = (
        "import sys, graphmem; "
        f"graphmem.analyze({str(model(IDLE))!r}); "
        "assert not [m for m in sys.modules if m.startswith('onnxruntime')], 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_copy_computes_the_same(model: Callable[..., Path], tmp_path: Path) -> None:
    found = optimize(model(IDLE), tmp_path / "copy.onnx", session=SessionOptions(optimization="off"))
    assert found.check is not None
    assert found.check.same
    assert found.then.later_peak <= found.now.later_peak
    assert "enable_mem_reuse = False" in found.code
    onnx.checker.check_model(tmp_path / "copy.onnx")


def test_the_model_itself_is_never_overwritten(model: Callable[..., Path]) -> None:
    path = model(IDLE)
    with pytest.raises(OptionError, match="never changed"):
        optimize(path, path)


def test_a_branch_that_the_data_chooses_makes_the_figure_a_bound(model: Callable[..., Path]) -> None:
    text = (
        "g (float[16,16] x, bool c) => (float[16,16] y) { a = Exp(x) t = If(c) <then_branch = p () => "
        "(float[16,16] u) { u = Neg(a) }, else_branch = q () => (float[16,16] v) { w = Neg(a) v = Neg(w) }> "
        "y = Neg(t) }"
    )
    analysis = analyzed(model(text))
    assert analysis.exactness == "at most"
    assert analysis.inference.peak == 3 * 1024  # a, t, and w of the larger branch


STFT = (
    "g (float[1,480,1] x, float[60] w) => (float[1,8,31,2] y, float[1,8,31,2] z) <int64 s = {60}> "
    "{ y = STFT(x, s, w) z = STFT(x, s, w) }"
)


def test_a_kernel_of_unknown_workspace_makes_the_figure_a_lower_bound(model: Callable[..., Path]) -> None:
    analysis = analyzed(model(STFT))
    assert analysis.exactness == "at least"
    found = [issue for issue in analysis.issues if issue.kind == "unknown-workspace"]
    assert [(issue.where, "2 nodes" in issue.what) for issue in found] == [("operator STFT", True)]
    assert ">= 1.00 MiB" in analysis_text(analysis)  # what the arena holds
    assert analysis_text(analysis).count(">= ") >= 6  # and the peak and every run


def test_kernels_in_a_branch_are_looked_at_too(model: Callable[..., Path]) -> None:
    body = "then_branch = p () => (float[1,8,31,2] u) { u = STFT(x, s, w) }"
    other = "else_branch = q () => (float[1,8,31,2] v) { v = STFT(x, s, w) }"
    text = (
        "g (float[1,480,1] x, float[60] w, bool c) => (float[1,8,31,2] y) <int64 s = {60}> "
        f"{{ y = If(c) <{body}, {other}> }}"
    )
    kinds = [issue.kind for issue in analyzed(model(text)).issues]
    assert kinds.count("unknown-workspace") == 1


def test_an_operator_with_a_rule_or_known_to_need_none_keeps_figures_exact(model: Callable[..., Path]) -> None:
    text = "g (float[4,16] x) => (float[4,16] y) { a = Softmax<axis = 0>(x) y = Neg(a) }"
    assert analyzed(model(text)).exactness == "exact"
