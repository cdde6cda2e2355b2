"""Tensors taken apart, and several put together. Source: aten/src/ATen/native/TensorShape.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphmem.autograd import ops
from graphmem.autograd import strides as st
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import rule
from graphmem.autograd.strides import Shape
from graphmem.autograd.tensor import Node, Tensor


def _parts(m: Machine, x: Tensor, dim: int, sizes: Sequence[int], title: str) -> list[Tensor]:
    dim %= len(x.shape)
    outs = [m.alias(x, (*x.shape[:dim], size, *x.shape[dim + 1 :]), x.strides) for size in sizes]
    shape = x.shape

    def back(m: Machine, _n: Node, *grads: Tensor | None) -> Tensor:
        dtype = next(g.dtype for g in grads if g is not None)
        with m.scope() as kept:
            pieces = []
            for g, out in zip(grads, outs, strict=True):
                pieces.append(g if g is not None else ops.full(m, "aten::zeros", out.shape, dtype))
            kept.append(ops.full(m, "aten::cat", shape, dtype, _cat_strides(shape, pieces)))
        return kept[0]

    m.record(title, [x], outs, back)
    return outs


def _cat_strides(shape: Shape, pieces: Sequence[Tensor]) -> st.Strides:
    """Channels last when every piece is (TensorShape.cpp, cat_compute_output_memory_format)."""
    if len(shape) in (4, 5) and pieces and all(st.is_channels_last(*p.layout) for p in pieces):
        return st.channels_last(shape)
    return st.contiguous(shape)


@rule(
    "aten.split", "aten.split_with_sizes", "aten.tensor_split", "aten.unsafe_split", "aten.unsafe_split_with_sizes",
    "aten.split_copy", "aten.split_with_sizes_copy",
)  # fmt: skip
def split(m: Machine, x: Tensor, size: Any, dim: int = 0) -> list[Tensor]:
    """Views; the gradient is one concatenation, with zeros for parts without a gradient."""
    total = x.shape[dim]
    sizes = [min(size, total - at) for at in range(0, total, size)] if isinstance(size, int) else list(size)
    return _parts(m, x, dim, sizes, "SplitBackward0")


@rule("aten.chunk", "aten.unsafe_chunk")
def chunk(m: Machine, x: Tensor, count: int, dim: int = 0) -> list[Tensor]:
    """A split into `count` parts."""
    return split(m, x, -(-x.shape[dim] // count), dim)


@rule("aten.unbind")
def unbind(m: Machine, x: Tensor, dim: int = 0) -> list[Tensor]:
    """Views without a dimension; the gradient is one stack."""
    dim %= len(x.shape)
    shape = x.shape
    part = (shape[:dim] + shape[dim + 1 :], x.strides[:dim] + x.strides[dim + 1 :])
    outs = [m.alias(x, *part) for _ in range(shape[dim])]

    def back(m: Machine, _n: Node, *grads: Tensor | None) -> Tensor:
        dtype = next(g.dtype for g in grads if g is not None)
        with m.scope() as kept:
            for g in grads:
                if g is None:
                    ops.full(m, "aten::zeros", part[0], dtype)
            kept.append(ops.full(m, "aten::stack", shape, dtype))
        return kept[0]

    m.record("UnbindBackward0", [x], outs, back)
    return outs


@rule("aten.cat", "aten.concat", "aten.concatenate")
def cat(m: Machine, tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Saves nothing; the gradients are views."""
    tensors = [t if isinstance(t, Tensor) else m.empty((1,), "int64") for t in tensors]  # sizes that the file knows
    full = [t for t in tensors if t.shape != (0,)] or list(tensors)
    dim %= len(full[0].shape)
    size = sum(t.shape[dim] for t in full)
    shape = (*full[0].shape[:dim], size, *full[0].shape[dim + 1 :])
    out = m.empty(shape, ops.promoted(*full), _cat_strides(shape, full))

    def back(m: Machine, n: Node, g: Tensor) -> list[Tensor | None]:
        return [
            m.alias(g, (*g.shape[:dim], t.shape[dim], *g.shape[dim + 1 :]), g.strides) if n.needs(i) else None
            for i, t in enumerate(full)
        ]

    m.record("CatBackward0", full, [out], back)
    return out


@rule("aten.stack")
def stack(m: Machine, tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Saves nothing; the gradients are views."""
    first = tensors[0]
    dim %= len(first.shape) + 1
    shape = (*first.shape[:dim], len(tensors), *first.shape[dim:])
    out = m.empty(shape, ops.promoted(*tensors))

    def back(m: Machine, n: Node, g: Tensor) -> list[Tensor | None]:
        part = (g.shape[:dim] + g.shape[dim + 1 :], g.strides[:dim] + g.strides[dim + 1 :])
        return [m.alias(g, *part) if n.needs(i) else None for i in range(len(tensors))]

    m.record("StackBackward0", list(tensors), [out], back)
    return out
