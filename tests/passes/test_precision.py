"""Inference in another precision: every figure as its sum."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import graphmem
from graphmem.ir.errors import OptionError

Write = Callable[..., Path]
MODELS = Path(__file__).parents[2] / "models"


def held(typed: str, count: int) -> str:
    return f"{typed} = {{{', '.join(['1'] * count)}}}"


# x [2, 6] -> y [2, 4] by a turned weight, then z [2, 3] by a plain one; ids are integers
TWO = f"""g (float[2, 6] x, int64[2] ids) => (float[2, 3] z, int64[2] same)
    <{held("float[4, 6] w", 24)}, {held("float[4] b", 4)}, {held("float[4, 3] v", 12)}> {{
    y = Gemm<transB=1>(x, w, b)
    z = MatMul(y, v)
    same = Identity(ids)
}}"""
INT4 = (4 * 6 + 4 * 3) // 2 + 2 * (4 + 3) + 2 * 4  # nibbles, a scale per channel (one group each), bias


@pytest.mark.parametrize(
    ("precision", "weights"),
    [
        ("fp32", 4 * (24 + 4 + 12)),
        ("fp16", 2 * (24 + 4 + 12)),
        ("bf16", 2 * (24 + 4 + 12)),
        ("int8", 24 + 12 + 2 * (4 + 3) + 2 * 4),  # a float16 scale per output channel; the bias in float16
        ("fp8", 24 + 12 + 2 * (4 + 3) + 2 * 4),
        ("int4", INT4),
    ],
)
def test_weights_in_every_precision(model: Write, precision: str, weights: int) -> None:
    found = graphmem.analyze(model(TWO), precision=precision)
    item = 4 if precision == "fp32" else 2
    assert found.model.weight_bytes == weights
    assert found.inference.peak == item * (2 * 4 + 2 * 6) + 2 * 8  # x and y at the first step, and ids
    assert found.model.parameters == 24 + 4 + 12  # scales are no parameters
    assert found.is_complete


def test_int4_has_a_scale_for_every_channel_and_128_inputs(model: Write) -> None:
    text = f"g (float[1, 300] x) => (float[1, 2] y) <{held('float[300, 2] w', 600)}> {{ y = MatMul(x, w) }}"
    assert graphmem.analyze(model(text), precision="int4").model.weight_bytes == 600 // 2 + 2 * 2 * 3  # ceil(300 / 128)


def test_what_is_assumed_is_said(model: Write) -> None:
    issues = graphmem.analyze(model(TWO), precision="int4").graph.issues
    (said,) = [issue for issue in issues if issue.kind == "assumption"]
    assert "2 weights of linear layers and convolutions are taken as int4" in said.what
    assert "per output channel and 128 inputs" in said.what


def test_bodies_of_control_flow_are_converted_too() -> None:
    full, half = (graphmem.analyze(MODELS / "tiny_if.onnx", batch=2, precision=p) for p in ("fp32", "fp16"))
    assert half.model.weight_bytes < full.model.weight_bytes
    assert half.inference.peak < full.inference.peak


def test_no_precision_needs_more_than_one_with_more_bits() -> None:
    found = {
        p: graphmem.analyze(MODELS / "mobilenetv2.onnx", batch=2, precision=p) for p in ("fp32", "fp16", "int8", "int4")
    }
    sizes = [found[p].model.weight_bytes for p in ("fp32", "fp16", "int8", "int4")]
    assert sizes == sorted(sizes, reverse=True)
    assert 2 * found["fp16"].inference.peak == found["fp32"].inference.peak
    assert found["int4"].inference.peak == found["fp16"].inference.peak


def test_onnxruntime_runs_the_file_as_it_is(model: Write) -> None:
    with pytest.raises(OptionError, match="onnxruntime runs the file as it is"):
        graphmem.analyze(model(TWO), memory_model="onnxruntime", precision="fp16")
    with pytest.raises(OptionError, match="precision 'fp12' is not one of fp32"):
        graphmem.analyze(model(TWO), precision="fp12")
