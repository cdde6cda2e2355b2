"""The tensor operations that rules are written in: element-wise results, views, copies, sums.

Each records its own backward node while gradients are enabled, so a backward formula uses the same functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from graphmem.autograd import strides as st
from graphmem.autograd.machine import Machine
from graphmem.autograd.strides import Shape, Strides
from graphmem.autograd.tensor import Node, Tensor, itemsize
from graphmem.ir.types import BITS

DTYPES = frozenset(BITS)


def like(m: Machine, name: str, x: Tensor, dtype: str = "") -> Tensor:
    """A new tensor with the layout of `x`."""
    with m.operator(name):
        return m.empty(x.shape, dtype or x.dtype, st.like(x.shape, x.strides))


def full(m: Machine, name: str, shape: Shape, dtype: str, strides: Strides | None = None) -> Tensor:
    """A new tensor of this shape."""
    with m.operator(name):
        return m.empty(shape, dtype, strides)


def pointwise(m: Machine, name: str, *operands: Tensor, dtype: str = "") -> Tensor:
    """A new element-wise result, broadcast, laid out as TensorIterator does."""
    shape = st.broadcast(*(x.shape for x in operands))
    with m.operator(name):
        return m.empty(shape, dtype or promoted(*operands), st.pointwise(shape, [x.layout for x in operands]))


def promoted(*operands: Tensor) -> str:
    """The dtype of an element-wise result: floats win over integers, tensors over scalars of their kind, wide wins."""
    best = ""
    for wanted_rank in (True, False):
        for x in operands:
            if (len(x.shape) > 0) is wanted_rank and (not best or _kind(x.dtype) > _kind(best)):
                best = x.dtype
            elif (len(x.shape) > 0) is wanted_rank and _kind(x.dtype) == _kind(best):
                if itemsize(x.dtype) > itemsize(best) and wanted_rank:
                    best = x.dtype
                elif {x.dtype, best} == {"float16", "bfloat16"}:
                    best = "float32"
    return best


def _kind(dtype: str) -> int:
    if not dtype:
        return -1
    return 3 if "complex" in dtype else 2 if "float" in dtype else 0 if dtype == "bool" else 1


def in_place(m: Machine, name: str) -> None:
    """An operator that allocates nothing."""
    with m.operator(name):
        pass


# -- views


def view(m: Machine, x: Tensor, shape: Shape, strides: Strides, name: str = "ViewBackward0") -> Tensor:
    """The same memory under another shape of as many elements; its gradient is reshaped back."""
    out = m.alias(x, shape, strides)
    before = x.shape
    m.record(name, [x], [out], lambda m, _n, g: reshape(m, g, before))
    return out


def reshape(m: Machine, x: Tensor, shape: Shape) -> Tensor:
    """A view where strides allow it, else a row-major clone."""
    strides = st.viewed(x.shape, x.strides, shape)
    if strides is not None:
        return view(m, x, shape, strides)
    with m.operator("aten::reshape"), m.scope() as kept:
        copy = clone(m, x, st.contiguous(x.shape))
        kept.append(view(m, copy, shape, st.contiguous(shape), "UnsafeViewBackward0"))
    return kept[0]


def permute(m: Machine, x: Tensor, order: Sequence[int]) -> Tensor:
    """The same memory with its dimensions in another order."""
    order = [d % len(x.shape) for d in order] if x.shape else []
    out = m.alias(x, tuple(x.shape[d] for d in order), tuple(x.strides[d] for d in order))
    back = st.permuted_inverse(range(len(order)), order)
    m.record("PermuteBackward0", [x], [out], lambda m, _n, g: permute(m, g, back))
    return out


def transpose(m: Machine, x: Tensor, a: int = -1, b: int = -2) -> Tensor:
    """Two dimensions exchanged."""
    order = list(range(len(x.shape)))
    if order:
        order[a], order[b] = order[b], order[a]
    return permute(m, x, order)


def unsqueeze(m: Machine, x: Tensor, dim: int) -> Tensor:
    """A dimension of size 1 put in."""
    dim %= len(x.shape) + 1
    step = x.shape[dim] * x.strides[dim] if dim < len(x.shape) else 1
    out = m.alias(x, (*x.shape[:dim], 1, *x.shape[dim:]), (*x.strides[:dim], step, *x.strides[dim:]))
    m.record("UnsqueezeBackward0", [x], [out], lambda m, _n, g: squeeze(m, g, (dim,)))
    return out


def squeeze(m: Machine, x: Tensor, dims: Sequence[int] | None = None) -> Tensor:
    """Dimensions of size 1 left out: these, or all."""
    rank = len(x.shape)
    gone = {d % rank for d in (range(rank) if dims is None else dims) if x.shape[d % rank] == 1} if rank else set()
    keep = [d for d in range(rank) if d not in gone]
    out = m.alias(x, tuple(x.shape[d] for d in keep), tuple(x.strides[d] for d in keep))
    order = sorted(gone)

    def back(m: Machine, _n: Node, g: Tensor) -> Tensor:
        for d in order:
            g = unsqueeze(m, g, d)
        return g

    m.record("SqueezeBackward1", [x], [out], back)
    return out


def expand(m: Machine, x: Tensor, shape: Shape) -> Tensor:
    """Dimensions of size 1 repeated without memory; the gradient is summed."""
    before = x.shape
    out = m.alias(x, shape, st.expanded(x.shape, x.strides, shape))
    m.record("ExpandBackward0", [x], [out], lambda m, _n, g: sum_to(m, g, before))
    return out


def narrow(m: Machine, x: Tensor, dim: int, length: int, step: int = 1, name: str = "SliceBackward0") -> Tensor:
    """Part of a dimension; the gradient is a zero tensor of the whole shape with the part filled in."""
    dim %= len(x.shape)
    shape = (*x.shape[:dim], length, *x.shape[dim + 1 :])
    out = m.alias(x, shape, (*x.strides[:dim], x.strides[dim] * step, *x.strides[dim + 1 :]))
    before = x.shape
    m.record(name, [x], [out], lambda m, _n, g: full(m, "aten::slice_backward", before, g.dtype))
    return out


def select(m: Machine, x: Tensor, dim: int) -> Tensor:
    """One index of a dimension."""
    dim %= len(x.shape)
    out = m.alias(x, x.shape[:dim] + x.shape[dim + 1 :], x.strides[:dim] + x.strides[dim + 1 :])
    before = x.shape
    m.record("SelectBackward0", [x], [out], lambda m, _n, g: full(m, "aten::select_backward", before, g.dtype))
    return out


# -- copies


def clone(m: Machine, x: Tensor, strides: Strides | None = None) -> Tensor:
    """A copy with the layout of `x`, or with `strides`."""
    with m.operator("aten::clone"):
        out = m.empty(x.shape, x.dtype, st.like(x.shape, x.strides) if strides is None else strides)
    m.record("CloneBackward0", [x], [out], lambda m, _n, g: g)
    return out


def contiguous(m: Machine, x: Tensor) -> Tensor:
    """`x` itself when row-major, else a row-major copy."""
    if x.is_contiguous:
        return x
    with m.operator("aten::contiguous"):
        return clone(m, x, st.contiguous(x.shape))


def cast(m: Machine, x: Tensor, dtype: str) -> Tensor:
    """`x` itself when of that type, else a converted copy."""
    if x.dtype == dtype:
        return x
    before = x.dtype
    with m.operator("aten::to"):
        out = m.empty(x.shape, dtype, st.like(x.shape, x.strides))
    m.record("ToCopyBackward0", [x], [out], lambda m, _n, g: cast(m, g, before))
    return out


# -- sums


def reduced(x: Tensor, dims: Sequence[int] | None, keep: bool) -> Shape:
    """Shape of a reduction over `dims` (all when None or empty)."""
    rank = len(x.shape)
    gone = set(range(rank)) if not dims else {d % rank for d in dims}
    return tuple(1 if d in gone else x.shape[d] for d in range(rank) if keep or d not in gone)


def total(m: Machine, x: Tensor, dims: Sequence[int] | None, keep: bool, name: str = "aten::sum") -> Tensor:
    """The sum over `dims`; no backward is recorded."""
    return full(m, name, reduced(x, dims, keep), x.dtype)


def sum_to(m: Machine, x: Tensor, shape: Shape) -> Tensor:
    """`x` summed to a shape that broadcasts to its own: one sum, then a view that drops leading dimensions."""
    if x.shape == shape:
        return x
    lead = len(x.shape) - len(shape)
    dims = [*range(lead), *(i + lead for i, size in enumerate(shape) if size == 1 and x.shape[i + lead] != 1)]
    if dims:
        x = total(m, x, dims, keep=True)
    return x if not lead else view(m, x, shape, st.contiguous(shape)) if prod(shape) == x.elements else x


def expand_back(m: Machine, g: Tensor, shape: Shape, dims: Sequence[int] | None, keep: bool) -> Tensor:
    """The gradient of a reduction seen under the shape before it, without memory."""
    rank = len(shape)
    if not keep and rank:
        for d in sorted({d % rank for d in (dims or range(rank))}):
            g = unsqueeze(m, g, d)
    return expand(m, g, shape)
