"""Views, copies and rearrangements of one tensor: what moves elements without computing.

Source: aten/src/ATen/native/TensorShape.cpp.
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
from graphmem.autograd.tensor import Tensor
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
