"""Views, copies and rearrangements: what moves elements without computing.

Taking tensors apart and putting them together. Source: aten/src/ATen/native/TensorShape.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from graphmem.autograd import ops
from graphmem.autograd import strides as st
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import rule
from graphmem.autograd.strides import Shape
from graphmem.autograd.tensor import Node, Tensor
from graphmem.ir.errors import MisfitError


def _target(m: Machine, x: Tensor, shape: Sequence[Any]) -> Shape:
    """The shape asked for: as the file states it, else with -1 worked out."""
    if m.wanted and prod(m.wanted[0]) == x.elements:
        return m.wanted[0]
    sizes = [s if isinstance(s, int) else -1 for s in shape]
    if -1 in sizes:
        rest = prod(s for s in sizes if s != -1)
        sizes[sizes.index(-1)] = x.elements // max(rest, 1)
    return tuple(sizes)


@rule(
    "aten.reshape",
    "aten.view",
    "aten._unsafe_view",
    "aten.flatten",
    "aten.unflatten",
    "aten.view_as",
    "aten.reshape_as",
)
def reshape(m: Machine, x: Tensor, *shape: Any) -> Tensor:
    """A view where strides allow it, else a row-major copy."""
    sizes = shape[0] if shape and isinstance(shape[0], list | tuple) else shape
    return ops.reshape(m, x, _target(m, x, sizes))


@rule("aten.permute", "aten.movedim")
def permute(m: Machine, x: Tensor, order: Sequence[int]) -> Tensor:
    """A view."""
    return ops.permute(m, x, order)


@rule("aten.transpose", "aten.t", "aten.swapaxes", "aten.mT", "aten.numpy_T")
def transpose(m: Machine, x: Tensor, a: int = 0, b: int = 1) -> Tensor:
    """A view."""
    return ops.transpose(m, x, a, b) if len(x.shape) > 1 else ops.permute(m, x, range(len(x.shape)))


@rule("aten.unsqueeze")
def unsqueeze(m: Machine, x: Tensor, dim: int) -> Tensor:
    """A view."""
    return ops.unsqueeze(m, x, dim)


@rule("aten.squeeze")
def squeeze(m: Machine, x: Tensor, dim: Any = None) -> Tensor:
    """A view."""
    return ops.squeeze(m, x, [dim] if isinstance(dim, int) else dim)


@rule("aten.expand", "aten.broadcast_to", "aten.expand_as")
def expand(m: Machine, x: Tensor, shape: Any, **_: Any) -> Tensor:
    """A view; the gradient is summed."""
    if m.wanted:
        return ops.expand(m, x, m.wanted[0])
    sizes = shape.shape if isinstance(shape, Tensor) else shape
    lead = len(sizes) - len(x.shape)
    full = tuple(x.shape[i - lead] if s == -1 else s for i, s in enumerate(sizes))
    return ops.expand(m, x, full)


@rule("aten.detach", "aten.detach_")
def detach(m: Machine, x: Tensor) -> Tensor:
    """The same memory, through which no gradient goes."""
    return m.alias(x, x.shape, x.strides)


@rule("aten.alias", "aten.lift_fresh_copy", "aten.lift_fresh", "aten._conj", "aten.positive")
def alias(m: Machine, x: Tensor) -> Tensor:
    """The same memory."""
    out = m.alias(x, x.shape, x.strides)
    m.record("AliasBackward0", [x], [out], lambda m, _n, g: g)
    return out


@rule("aten.contiguous")
def contiguous(m: Machine, x: Tensor, *_: Any, **__: Any) -> Tensor:
    """x itself when row-major, else a row-major copy."""
    return ops.contiguous(m, x)


@rule("aten.clone")
def clone(m: Machine, x: Tensor, memory_format: Any = None) -> Tensor:
    """A copy: row-major when asked for, else with the layout of x."""
    return ops.clone(m, x, st.contiguous(x.shape) if "contiguous" in str(memory_format) else None)


@rule("aten._to_copy", "aten.to", "aten.type_as", "prims.convert_element_type", "aten.float")
def to_copy(m: Machine, x: Tensor, *args: Any, dtype: Any = None, **_: Any) -> Tensor:
    """A converted copy, or x itself when it has the type already."""
    given = [a.dtype if isinstance(a, Tensor) else a for a in (*args, dtype)]
    wanted = next((a for a in given if isinstance(a, str) and a in ops.DTYPES), x.dtype)
    return ops.cast(m, x, wanted)


@rule("aten.slice")
def slice_(m: Machine, x: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Tensor:
    """A view; the gradient is a zero tensor of the whole shape. A slice of everything is one as well."""
    size = x.shape[dim]
    if m.wanted and len(m.wanted[0]) == len(x.shape):
        return ops.narrow(m, x, dim, m.wanted[0][dim], step if isinstance(step, int) else 1)
    first = 0 if not isinstance(start, int) else start + size if start < 0 else min(start, size)
    last = size if not isinstance(end, int) else end + size if end < 0 else min(end, size)
    return ops.narrow(m, x, dim, max(0, -(-(last - first) // step)), step)


@rule("aten.narrow")
def narrow(m: Machine, x: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """A slice."""
    del start
    return ops.narrow(m, x, dim, length)


@rule("aten.select")
def select(m: Machine, x: Tensor, dim: int, index: Any) -> Tensor:
    """A view; the gradient is a zero tensor of the whole shape."""
    del index
    return ops.select(m, x, dim)


@rule("aten.repeat", "aten.tile")
def repeat(m: Machine, x: Tensor, times: Sequence[int]) -> Tensor:
    """A copy; the gradient is summed."""
    shape = (
        m.wanted[0]
        if m.wanted
        else tuple(s * t for s, t in zip((1,) * (len(times) - len(x.shape)) + x.shape, times, strict=True))
    )
    before = x.shape
    out = m.empty(shape, x.dtype)
    m.record("RepeatBackward0", [x], [out], lambda m, _n, g: ops.full(m, "aten::sum", before, g.dtype))
    return out


@rule("aten.repeat_interleave")
def repeat_interleave(m: Machine, x: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
    """A copy; the gradient is summed."""
    return repeat(m, x, [1] * len(x.shape))


def _moved(name: str, backward: str) -> None:
    def run(m: Machine, x: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
        out = ops.like(m, f"aten::{name}", x)
        m.record(f"{name.capitalize()}Backward0", [x], [out], lambda m, _n, g: ops.like(m, f"aten::{backward}", g))
        return out

    rule(f"aten.{name}")(run)


for _name in ("flip", "roll", "tril", "triu", "rot90"):
    _moved(_name, _name)


@rule("aten.as_strided")
def as_strided(m: Machine, x: Tensor, size: Sequence[int], stride: Sequence[int], *_: Any) -> Tensor:
    """A view of any strides; the gradient is a zero tensor of the whole storage, then one of the shape before."""
    sizes = m.wanted[0] if m.wanted and any(not isinstance(s, int) for s in size) else tuple(size)
    out = m.alias(x, sizes, tuple(stride))
    before = x.shape
    m.record("AsStridedBackward0", [x], [out], lambda m, _n, g: ops.full(m, "aten::new_zeros", before, g.dtype))
    return out


@rule("aten.unfold")
def unfold(m: Machine, x: Tensor, dim: int, size: int, step: int) -> Tensor:
    """A view with overlaps; the gradient is a zero tensor of the whole shape."""
    dim %= len(x.shape)
    shape = (*x.shape[:dim], (x.shape[dim] - size) // step + 1, *x.shape[dim + 1 :], size)
    out = m.alias(x, shape, (*x.strides[:dim], x.strides[dim] * step, *x.strides[dim + 1 :], x.strides[dim]))
    before = x.shape
    m.record("UnfoldBackward0", [x], [out], lambda m, _n, g: ops.full(m, "aten::unfold_backward", before, g.dtype))
    return out


@rule("aten.im2col", "aten.col2im")
def im2col(m: Machine, x: Tensor, *_: Any) -> Tensor:
    """A copy of patches."""
    if not m.wanted:
        raise MisfitError("the file does not state the shape of the patches")
    out = m.empty(m.wanted[0], x.dtype)
    before = x.shape
    m.record("Im2ColBackward0", [x], [out], lambda m, _n, g: ops.full(m, "aten::col2im", before, g.dtype))
    return out


@rule("aten.meshgrid")
def meshgrid(m: Machine, tensors: Sequence[Tensor], **_: Any) -> list[Tensor]:
    """Expanded views."""
    shape = tuple(t.elements for t in tensors)
    return [
        ops.expand(m, ops.reshape(m, t, tuple(t.elements if i == j else 1 for j in range(len(tensors)))), shape)
        for i, t in enumerate(tensors)
    ]


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
