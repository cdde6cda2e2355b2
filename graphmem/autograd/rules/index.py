"""Embedding, gathering and scattering by index.

Tensors made from nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphmem.autograd import ops
from graphmem.autograd import strides as st
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import rule
from graphmem.autograd.tensor import Node, Tensor


@rule("aten.embedding")
def embedding(m: Machine, weight: Tensor, ids: Tensor, *_: Any) -> Tensor:
    """Saves the ids; the gradient is dense, of the size of the whole weight."""
    out = m.empty((*ids.shape, *weight.shape[1:]), weight.dtype)
    shape = weight.shape
    m.record(
        "EmbeddingBackward0", [weight], [out],
        lambda m, _n, g: ops.full(m, "aten::embedding_dense_backward", shape, g.dtype), [ids],
    )  # fmt: skip
    return out


@rule("aten.embedding_bag", "aten._embedding_bag")
def embedding_bag(m: Machine, weight: Tensor, ids: Tensor, offsets: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
    """Saves ids, offsets and three tables of int64 (EmbeddingBag.cpp): the bag of each id, bag sizes, maxima."""
    bags = offsets.elements if offsets is not None else m.wanted[0][0]
    out = m.empty((bags, *weight.shape[1:]), weight.dtype)
    tables = [m.empty(shape, "int64") for shape in ((ids.elements + 1,), (bags,), (bags,))]
    saved = [t for t in (ids, offsets, *tables) if t is not None]
    shape = weight.shape
    m.record(
        "EmbeddingBagBackward0", [weight], [out],
        lambda m, _n, g: ops.full(m, "aten::_embedding_bag_backward", shape, g.dtype), saved,
    )  # fmt: skip
    return out


@rule("aten.index_select")
def index_select(m: Machine, x: Tensor, dim: int, index: Tensor) -> Tensor:
    """Saves the index."""
    shape = (*x.shape[:dim], index.elements, *x.shape[dim:][1:])
    out = m.empty(shape, x.dtype)
    m.record("IndexSelectBackward0", [x], [out], lambda m, _n, g: _zeros_then(m, x.shape, g, "index_add_"), [index])
    return out


def _zeros_then(m: Machine, shape: st.Shape, g: Tensor, name: str) -> Tensor:
    """Zeros of the whole shape, written in place or into a second tensor."""
    zeros = ops.full(m, "aten::new_zeros", shape, g.dtype)
    if name.endswith("_"):
        ops.in_place(m, f"aten::{name}")
        return zeros
    return ops.full(m, f"aten::{name}", shape, g.dtype)


@rule("aten.gather")
def gather(m: Machine, x: Tensor, dim: int, index: Tensor, *_: Any) -> Tensor:
    """Saves the index (and x, of which only the shape is used)."""
    del dim
    out = m.empty(index.shape, x.dtype)
    m.record("GatherBackward0", [x], [out], lambda m, _n, g: _zeros_then(m, x.shape, g, "scatter_add_"), [x, index])
    return out


@rule("aten.index", "aten._unsafe_index")
def index(m: Machine, x: Tensor, indices: Sequence[Tensor | None]) -> Tensor:
    """Saves the indices."""
    given = [t for t in indices if t is not None]
    shape = m.wanted[0] if m.wanted else (*st.broadcast(*(t.shape for t in given)), *x.shape[len(indices) :])
    out = m.empty(shape, x.dtype)
    m.record("IndexBackward0", [x], [out], lambda m, _n, g: _zeros_then(m, x.shape, g, "_index_put_impl_"), given)
    return out


@rule("aten.scatter_add", "aten.scatter_add_")
def scatter_add(m: Machine, x: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """Saves the index; x gets the gradient itself, the source a gathering of it."""
    del dim
    out = ops.like(m, "aten::scatter_add", x)

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return g if n.needs(0) else None, ops.full(m, "aten::gather", index.shape, g.dtype) if n.needs(1) else None

    m.record("ScatterAddBackward0", [x, source], [out], back, [index])
    return out


@rule("aten.index_add", "aten.index_add_")
def index_add(m: Machine, x: Tensor, dim: int, index: Tensor, source: Tensor, **_: Any) -> Tensor:
    """Saves the index and the source, of which only the shape is used; x gets the gradient itself."""
    del dim
    out = ops.like(m, "aten::index_add", x)

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        selected = ops.full(m, "aten::index_select", source.shape, g.dtype) if n.needs(1) else None
        return g if n.needs(0) else None, selected

    m.record("IndexAddBackward0", [x, source], [out], back, [index, source])
    return out


@rule("aten.scatter", "aten.scatter_reduce", "aten.scatter_")
def scatter(m: Machine, x: Tensor, dim: int, index: Tensor, source: Any = None, *_: Any, **__: Any) -> Tensor:
    """Saves the index; x gets a copy of the gradient with holes, the source a gathering of it."""
    del dim
    out = ops.like(m, "aten::scatter", x)
    other = source if isinstance(source, Tensor) else None

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return (
            ops.like(m, "aten::scatter", g) if n.needs(0) else None,
            ops.full(m, "aten::gather", index.shape, g.dtype) if n.needs(1) else None,
        )

    m.record("ScatterBackward0", [x, other], [out], back, [index])
    return out


@rule("aten.index_put", "aten.index_put_", "aten._unsafe_index_put")
def index_put(
    m: Machine, x: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False, *_: Any
) -> Tensor:
    """Saves the indices; where it adds, x gets the gradient itself, else a copy with zeros put in."""
    given = [t for t in indices if t is not None]
    out = ops.like(m, "aten::index_put", x)

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return (
            (g if accumulate else ops.like(m, "aten::index_put", g)) if n.needs(0) else None,
            ops.full(m, "aten::index", values.shape, g.dtype) if n.needs(1) else None,
        )

    m.record("IndexPutBackward0", [x, values], [out], back, given)
    return out


@rule("aten.slice_scatter", "aten.select_scatter", "aten.index_fill", "aten.index_copy")
def written(m: Machine, x: Tensor, source: Any, *rest: Any, **_: Any) -> Tensor:
    """An in-place write that export made a copy of."""
    other = next((t for t in (source, *rest) if isinstance(t, Tensor) and t.is_float), None)
    out = ops.like(m, "aten::slice_scatter", x)

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return (
            ops.like(m, "aten::slice_scatter", g) if n.needs(0) else None,
            ops.full(m, "aten::slice", other.shape, g.dtype) if other is not None and n.needs(1) else None,
        )

    m.record("SliceScatterBackward0", [x, other], [out], back)
    return out


@rule("aten.nonzero", "aten.bucketize", "aten.searchsorted", "aten.one_hot")
def integers(m: Machine, x: Tensor, *_: Any, **__: Any) -> Tensor:
    """int64 of the shape that the file states."""
    return m.empty(m.wanted[0] if m.wanted else x.shape, "int64")


def _dtype(m: Machine, given: Any, default: str) -> str:
    return (
        given if isinstance(given, str) and given in ops.DTYPES else m.wanted_dtypes[0] if m.wanted_dtypes else default
    )


@rule("aten.full", "aten.zeros", "aten.ones", "aten.empty", "aten.rand", "aten.randn", "aten.randint", "aten.eye")
def full(m: Machine, shape: Any, *_: Any, dtype: Any = None, **__: Any) -> Tensor:
    """A tensor of the stated shape."""
    sizes = m.wanted[0] if m.wanted else tuple(shape)
    return m.empty(sizes, _dtype(m, dtype, "float32"))


@rule("aten.arange", "aten.linspace", "aten.logspace")
def arange(m: Machine, *args: Any, dtype: Any = None, **_: Any) -> Tensor:
    """A range; int64 for integers."""
    numbers = [a for a in args if isinstance(a, int | float)]
    default = "float32" if any(isinstance(a, float) for a in numbers) else "int64"
    count = numbers[0] if len(numbers) == 1 else numbers[1] - numbers[0] if numbers else 0
    return m.empty(m.wanted[0] if m.wanted else (int(count),), _dtype(m, dtype, default))


@rule(
    "aten.full_like", "aten.zeros_like", "aten.ones_like", "aten.empty_like", "aten.rand_like", "aten.randn_like",
    "aten.bernoulli",
)  # fmt: skip
def full_like(m: Machine, x: Tensor, *_: Any, dtype: Any = None, **__: Any) -> Tensor:
    """A tensor of the layout of x."""
    return ops.like(m, "aten::empty_like", x, dtype if isinstance(dtype, str) and dtype in ops.DTYPES else "")


@rule("aten.new_full", "aten.new_zeros", "aten.new_ones", "aten.new_empty", "aten.new_empty_strided")
def new_full(m: Machine, x: Tensor | None, shape: Any, *_: Any, dtype: Any = None, **__: Any) -> Tensor:
    """A tensor of the stated shape and the type of x, which the file may have lost: nothing else of it is used."""
    return m.empty(m.wanted[0] if m.wanted else tuple(shape), _dtype(m, dtype, x.dtype if x is not None else "float32"))


@rule("aten.scalar_tensor", "aten.tensor")
def scalar_tensor(m: Machine, *_: Any, dtype: Any = None, **__: Any) -> Tensor:
    """One number."""
    return m.empty((), _dtype(m, dtype, "float32"))
