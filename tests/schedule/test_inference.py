"""Which tensors share a buffer under each memory model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

import graphmem

Write = Callable[..., Path]
F4 = 4  # bytes of a float


def peak(path: Path, memory_model: str, **options: object) -> int:
    return graphmem.analyze(path, memory_model=memory_model, **options).inference.peak  # type: ignore[arg-type]


def test_the_three_models_on_a_chain(model: Write) -> None:
    path = model("""g (float[8] x) => (float[2, 4] y) <int64[2] s = {2, 4}> {
        a = Exp(x)
        b = Reshape(a, s)
        y = Relu(b)
    }""")
    assert peak(path, "plain") == 2 * 8 * F4  # any two neighbours
    assert peak(path, "views") == 2 * 8 * F4  # x+a, then a(b)+y
    assert peak(path, "inplace") == 8 * F4  # one buffer handed on


def test_a_view_keeps_its_buffer_alive(model: Write) -> None:
    path = model("""g (float[8] x) => (float[8] y) <int64[1] s = {8}> {
        a = Exp(x)
        v = Identity(a)
        b = Exp(a)
        c = Exp(b)
        y = Add(v, c)
    }""")
    assert peak(path, "plain") == 3 * 8 * F4 + 0  # at b: a, v, b
    assert peak(path, "views") == 3 * 8 * F4  # at c: a(v), b, c


def test_an_elementwise_output_does_not_overwrite_what_is_read_later(model: Write) -> None:
    path = model("g (float[8] x) => (float[8] y) { a = Exp(x) b = Exp(a) y = Add(a, b) }")
    assert peak(path, "inplace") == 2 * 8 * F4  # a cannot be overwritten by b; y takes over one of them


def test_a_graph_output_is_never_overwritten(model: Write) -> None:
    path = model("g (float[8] x) => (float[8] a, float[8] y) { a = Exp(x) y = Relu(a) }")
    assert peak(path, "inplace") == 2 * 8 * F4  # a takes x's place, y needs its own


def test_a_smaller_input_is_not_taken_over(model: Write) -> None:
    path = model("g (float[8] x, float[1] b) => (float[8] z) { y = Add(b, x) z = Cast <to = 1> (y) }")
    assert peak(path, "inplace") == 8 * F4 + F4  # y over x, with b beside it


def test_sub_byte_elements_are_packed(model: Write) -> None:
    path = model('<ir_version: 10, opset_import: ["" : 21]> g (float[5] x) => (int4[5] y) { y = Cast <to = 22> (x) }')
    assert peak(path, "plain") == 5 * F4 + 3  # five 4-bit elements round up to three bytes


def test_the_models_are_ordered_and_bounded_by_the_sum(model: Write) -> None:
    path = model("""g (float[6, 4] x) => (float[6, 4] y) <int64[1] s = {24}> {
        a = Relu(x) b = Exp(a) c = Add(a, b) f = Reshape(c, s) d = Exp(f) z = Add(f, d) t = Shape(a) y = Reshape(z, t)
    }""")
    plain, views, inplace = (graphmem.analyze(path, memory_model=m).inference for m in ("plain", "views", "inplace"))
    assert inplace.peak <= views.peak <= plain.peak <= plain.total_bytes


def test_renaming_tensors_changes_no_figure(model: Write, tmp_path: Path) -> None:
    path = model("g (float[6] x) => (float[6] y) { b = Exp(x) a = Exp(b) c = Add(a, b) y = Mul(c, x) }")
    proto = onnx.load(path)
    for node in proto.graph.node:
        for names in (node.input, node.output):
            names[:] = [f"zz_{name[::-1]}" if name not in ("x", "y") else name for name in names]
    renamed = tmp_path / "renamed.onnx"
    onnx.save(proto, renamed)
    for order in ("file", "memory"):
        one, other = (graphmem.analyze(p, order=order).inference for p in (path, renamed))
        assert (one.peak, one.peak_step, one.total_bytes) == (other.peak, other.peak_step, other.total_bytes)


@pytest.mark.parametrize("memory_model", ["plain", "views", "inplace"])
def test_doubling_the_batch_doubles_the_peak(model: Write, memory_model: str) -> None:
    path = model(
        """g (float[n, 3, 8, 8] x) => (float[n, 4] y) <float[4, 3, 3, 3] w, float[4, 36] v> {
        c = Conv(x, w) r = Relu(c) p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r) f = Flatten(p)
        y = Gemm <transB = 1> (f, v)
    }""".replace(
            "w, float[4, 36] v", "w = {" + ",".join("0" * 108) + "}, float[4, 36] v = {" + ",".join("0" * 144) + "}"
        )
    )
    one, two = (peak(path, memory_model, batch=n) for n in (3, 6))
    assert two == 2 * one
