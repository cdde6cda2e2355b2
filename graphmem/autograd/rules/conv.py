"""Convolutions of any rank, groups and direction.

Source: aten/src/ATen/native/Convolution.cpp. Backends that matter for layout agree: the result and the gradient of the
input are channels last when input or weight suggests it, and so is then the gradient of the weight.

Padding: by constants, by the edge, by reflection, around the other side. Source: aten/src/ATen/native/PadNd.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphmem.autograd import ops
from graphmem.autograd import strides as st
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import RULES, rule
from graphmem.autograd.strides import Shape, Strides
from graphmem.autograd.tensor import Node, Tensor


def layout(shape: Shape, *sources: Tensor) -> Strides:
    """Channels last when one of the sources suggests it, else row-major."""
    if any(st.is_channels_last(*t.layout) for t in sources):
        return st.channels_last(shape)
    return st.contiguous(shape)


def row_of(value: Any, rank: int) -> list[int]:
    """A value for each dimension, of one for all or of as many."""
    values = [value] if isinstance(value, int) else list(value)
    return values * rank if len(values) == 1 else values


def _result_shape(
    x: Tensor, w: Tensor, stride: Any, padding: Any, dilation: Any, transposed: bool, out_pad: Any, groups: int
) -> Shape:
    rank = len(x.shape) - 2
    rows = (row_of(value, rank) for value in (stride, padding, dilation, out_pad))
    spatial = []
    for size, kernel, s, p, d, o in zip(x.shape[2:], w.shape[2:], *rows, strict=True):
        if transposed:
            spatial.append((size - 1) * s - 2 * p + d * (kernel - 1) + o + 1)
        else:
            spatial.append((size + 2 * p - d * (kernel - 1) - 1) // s + 1)
    return (x.shape[0], w.shape[1] * groups if transposed else w.shape[0], *spatial)


@rule("aten.convolution")
def convolution(
    m: Machine, x: Tensor, w: Tensor, bias: Tensor | None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    transposed: bool = False, output_padding: Any = 0, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Saves input and weight; the backward makes the gradients of input, weight and bias in one operator."""
    rank = len(w.shape) - 2
    if len(x.shape) == rank + 1:
        wide = ops.unsqueeze(m, x, 0)
        out = convolution(m, wide, w, bias, stride, padding, dilation, transposed, output_padding, groups)
        return ops.squeeze(m, out, (0,))
    shape = m.wanted[0] if m.wanted and len(m.wanted[0]) == len(x.shape) else None
    shape = shape or _result_shape(x, w, stride, padding, dilation, transposed, output_padding, groups)
    out = m.empty(shape, x.dtype, layout(shape, x, w))

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, ...]:
        with m.operator("aten::convolution_backward"):
            return (
                m.empty(x.shape, g.dtype, layout(x.shape, x, w)) if n.needs(0) else None,
                m.empty(w.shape, g.dtype, layout(w.shape, x, w)) if n.needs(1) else None,
                m.empty((shape[1],), g.dtype) if n.needs(2) else None,
            )

    m.record("ConvolutionBackward0", [x, w, bias], [out], back, [x, w])
    return out


@rule("aten.conv2d", "aten.conv1d", "aten.conv3d")
def conv(
    m: Machine, x: Tensor, w: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """A forward convolution."""
    if isinstance(padding, str):
        padding = (
            0
            if padding == "valid"
            else [(k - 1) * d // 2 for k, d in zip(w.shape[2:], row_of(dilation, len(w.shape) - 2), strict=True)]
        )
    return convolution(m, x, w, bias, stride, padding, dilation, False, 0, groups)


@rule("aten.conv_transpose2d", "aten.conv_transpose1d", "aten.conv_transpose3d")
def conv_transpose(
    m: Machine, x: Tensor, w: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """A transposed convolution."""
    return convolution(m, x, w, bias, stride, padding, dilation, True, output_padding, groups)


@rule("aten.pad")
def pad(m: Machine, x: Tensor, pads: Sequence[int], mode: str = "constant", *_: Any) -> Any:
    """By the mode: constant, reflect, replicate or circular."""
    if mode == "circular":
        return _circular_pad(m, x, pads)
    names = {"reflect": f"reflection_pad{len(pads) // 2}d", "replicate": f"replication_pad{len(pads) // 2}d"}
    return RULES[f"aten.{names.get(mode, 'constant_pad_nd')}"](m, x, pads)


def _circular_pad(m: Machine, x: Tensor, pads: Sequence[int]) -> Tensor:
    """A new tensor with the input and its edges copied in: a copy for each padded side (PadNd.cpp)."""
    sizes = list(x.shape)
    for i in range(len(pads) // 2):
        sizes[-1 - i] += pads[2 * i] + pads[2 * i + 1]
    out = m.empty(tuple(sizes), x.dtype)
    sides = sum(1 for p in pads if p)

    def back(m: Machine, _n: Node, g: Tensor) -> Tensor:
        for _ in range(sides + 1):  # CopySlices: one clone of the gradient for each part written
            ops.like(m, "aten::clone", g)
        return ops.full(m, "aten::slice", x.shape, g.dtype)

    m.record("CopySlices", [x], [out], back)
    return out


@rule("aten.constant_pad_nd")
def constant_pad(m: Machine, x: Tensor, pads: Sequence[int], *_: Any) -> Tensor:
    """Saves nothing; the gradient is padded by the negative amounts."""
    sizes = list(x.shape)
    for i in range(len(pads) // 2):
        sizes[-1 - i] += pads[2 * i] + pads[2 * i + 1]
    before = x.shape
    shape = tuple(sizes)
    strides = st.channels_last(shape) if st.is_channels_last(*x.layout) else st.contiguous(shape)
    out = m.empty(shape, x.dtype, strides)
    back_name = "aten::constant_pad_nd"
    m.record("ConstantPadNdBackward0", [x], [out], lambda m, _n, g: ops.full(m, back_name, before, g.dtype))
    return out


def _edge_pad(name: str) -> None:
    def run(m: Machine, x: Tensor, pads: Sequence[int], *_: Any) -> Tensor:
        sizes = list(x.shape)
        for i in range(len(pads) // 2):
            sizes[-1 - i] += pads[2 * i] + pads[2 * i + 1]
        out = m.empty(tuple(sizes), x.dtype)
        m.record(
            "".join(p.capitalize() for p in name.split("_")) + "Backward0", [x], [out],
            lambda m, _n, g: ops.full(m, f"aten::{name}_backward", x.shape, g.dtype), [x],
        )  # fmt: skip
        return out

    rule(f"aten.{name}")(run)


for _rank in ("1d", "2d", "3d"):
    _edge_pad(f"reflection_pad{_rank}")
    _edge_pad(f"replication_pad{_rank}")
