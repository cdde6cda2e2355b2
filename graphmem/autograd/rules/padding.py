"""Padding: by constants, by the edge, by reflection, around the other side. Source: aten/src/ATen/native/PadNd.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphmem.autograd import ops
from graphmem.autograd import strides as st
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import RULES, rule
from graphmem.autograd.tensor import Node, Tensor


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
