"""Reductions, softmax and scans. Formulas: derivatives.yaml and FunctionsManual.cpp of torch 2.13."""

from __future__ import annotations

from typing import Any

from graphmem.autograd import ops
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import RULES, rule
from graphmem.autograd.tensor import Node, Tensor


def _dims(dim: Any) -> list[int] | None:
    return [dim] if isinstance(dim, int) else list(dim) if dim is not None else None


@rule("aten.sum")
def sum_(m: Machine, x: Tensor, dim: Any = None, keepdim: bool = False, **_: Any) -> Tensor:
    """Saves nothing; the gradient is an expanded view."""
    dims, shape = _dims(dim), x.shape
    dtype = x.dtype if x.is_float else "int64"
    out = ops.full(m, "aten::sum", ops.reduced(x, dims, keepdim), dtype)
    m.record("SumBackward1", [x], [out], lambda m, _n, g: ops.expand_back(m, g, shape, dims, keepdim))
    return out


@rule("aten.mean")
def mean(m: Machine, x: Tensor, dim: Any = None, keepdim: bool = False, **_: Any) -> Tensor:
    """Saves nothing; the gradient is expanded and divided."""
    dims, shape = _dims(dim), x.shape
    out = ops.full(m, "aten::mean", ops.reduced(x, dims, keepdim), x.dtype)

    def back(m: Machine, _n: Node, g: Tensor) -> Tensor:
        return ops.pointwise(m, "aten::div", ops.expand_back(m, g, shape, dims, keepdim))

    m.record("MeanBackward1", [x], [out], back)
    return out


@rule("aten.var", "aten.std", "aten.var_mean", "aten.std_mean", "prims.var")
def var(m: Machine, x: Tensor, dim: Any = None, *_: Any, keepdim: bool = False, **__: Any) -> Any:
    """Saves x; the backward subtracts the mean and scales."""
    dims = _dims(dim)
    shape = m.wanted[0] if m.wanted else ops.reduced(x, dims, keepdim)
    keep = len(shape) == len(x.shape)
    out = ops.full(m, "aten::var", shape, x.dtype)

    def back(m: Machine, _n: Node, g: Tensor) -> Tensor:
        with m.scope() as kept:
            wide = ops.expand_back(m, g, x.shape, dims, keep)
            scaled = ops.pointwise(m, "aten::mul", g)
            average = ops.full(m, "aten::mean", ops.reduced(x, dims, True), x.dtype)
            centred = ops.pointwise(m, "aten::sub", x, average)
            kept.append(ops.pointwise(m, "aten::mul", wide, centred))
            m.drop(scaled)
        return kept[0]

    m.record("VarBackward0", [x], [out], back, [x])
    if len(m.wanted) > 1:
        return [out, mean(m, x, dim, keep)]
    return out


@rule("aten.amax", "aten.amin")
def amax(m: Machine, x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Saves x and the result."""
    dims = _dims(dim)
    out = ops.full(m, "aten::amax", ops.reduced(x, dims, keepdim), x.dtype)

    def back(m: Machine, _n: Node, g: Tensor) -> Tensor:
        with m.scope() as kept:
            mask = ops.pointwise(m, "aten::eq", x, dtype="bool")
            ops.full(m, "aten::sum", ops.reduced(x, dims, True), "int64")
            share = ops.full(m, "aten::div", ops.reduced(x, dims, True), g.dtype)
            kept.append(ops.pointwise(m, "aten::mul", mask, share, dtype=g.dtype))
        return kept[0]

    m.record("AmaxBackward0", [x], [out], back, [x, out])
    return out


@rule("aten.max", "aten.min", "aten.median", "aten.kthvalue", "aten.mode")
def max_(m: Machine, x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Along a dimension: saves int64 indices; of everything: as amax."""
    if isinstance(dim, Tensor):
        return RULES["aten.maximum"](m, x, dim)
    if dim is None:
        return amax(m, x)
    shape = ops.reduced(x, [dim], keepdim)
    out, index = m.empty(shape, x.dtype), m.empty(shape, "int64")
    before = x.shape
    m.record(
        "MaxBackward0",
        [x],
        [out],
        lambda m, _n, g: ops.full(m, "aten::value_selecting_reduction_backward", before, g.dtype),
        [index],
    )
    return [out, index]


@rule("aten.argmax", "aten.argmin", "aten.count_nonzero")
def argmax(m: Machine, x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """int64 indices."""
    return m.empty(ops.reduced(x, _dims(dim), keepdim), "int64")


@rule("aten.any", "aten.all")
def any_(m: Machine, x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Bytes."""
    return m.empty(ops.reduced(x, _dims(dim), keepdim), "bool")


@rule("aten.linalg_vector_norm", "aten.norm")
def vector_norm(m: Machine, x: Tensor, order: Any = 2, dim: Any = None, keepdim: bool = False, **_: Any) -> Tensor:
    """Saves x and the result; x / norm is of the size of x (norm_backward in FunctionsManual.cpp, torch 2.13)."""
    dims = _dims(dim)
    out = ops.full(m, "aten::linalg_vector_norm", ops.reduced(x, dims, keepdim), x.dtype)
    row = ops.reduced(x, dims, True)

    def back(m: Machine, _n: Node, g: Tensor) -> Tensor:
        with m.scope() as kept:
            if order == 1:
                ops.pointwise(m, "aten::sgn", x)
            else:
                ops.pointwise(m, "aten::div", x)
                ops.full(m, "aten::eq", row, "bool")
            kept.append(ops.pointwise(m, "aten::mul", x))
        return kept[0]

    m.record("LinalgVectorNormBackward0", [x], [out], back, [x, out])
    return out


@rule("aten.logsumexp")
def logsumexp(m: Machine, x: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """Saves x and the result."""
    out = ops.full(m, "aten::logsumexp", ops.reduced(x, _dims(dim), keepdim), x.dtype)

    def back(m: Machine, _n: Node, g: Tensor) -> Tensor:
        with m.scope() as kept:
            ops.pointwise(m, "aten::sub", x)
            ops.pointwise(m, "aten::exp", x)
            kept.append(ops.pointwise(m, "aten::mul", x))
        del g
        return kept[0]

    m.record("LogsumexpBackward0", [x], [out], back, [x, out])
    return out


@rule("aten.prod")
def product(m: Machine, x: Tensor, dim: Any = None, keepdim: bool = False, **_: Any) -> Tensor:
    """Saves x and the result."""
    out = ops.full(m, "aten::prod", ops.reduced(x, _dims(dim), keepdim), x.dtype)

    def back(m: Machine, _n: Node, g: Tensor) -> Tensor:
        with m.scope() as kept:
            ops.full(m, "aten::mul", out.shape, g.dtype)
            kept.append(ops.pointwise(m, "aten::div", x))
        return kept[0]

    m.record("ProdBackward1", [x], [out], back, [x, out])
    return out


def _softmax(name: str, title: str) -> None:
    def run(m: Machine, x: Tensor, dim: Any = -1, dtype: Any = None, *_: Any, **__: Any) -> Tensor:
        wide = ops.cast(m, x, dtype) if isinstance(dtype, str) and dtype in ops.DTYPES else x
        out = m.empty(wide.shape, wide.dtype)
        m.record(
            title,
            [wide],
            [out],
            lambda m, _n, g: ops.full(m, f"aten::_{name}_backward_data", out.shape, g.dtype),
            [out],
        )
        return out

    rule(f"aten.{name}", f"aten._{name}", f"aten._safe_{name}")(run)


_softmax("softmax", "SoftmaxBackward0")
_softmax("log_softmax", "LogSoftmaxBackward0")


@rule("aten.cumsum")
def cumsum(m: Machine, x: Tensor, dim: int, **_: Any) -> Tensor:
    """Saves nothing; the gradient is flipped, summed, flipped."""
    out = ops.like(m, "aten::cumsum", x, "" if x.is_float else "int64")

    def back(m: Machine, _n: Node, g: Tensor) -> Tensor:
        with m.scope() as kept:
            for name in ("flip", "cumsum"):
                ops.like(m, f"aten::{name}", g)
            kept.append(ops.like(m, "aten::flip", g))
        return kept[0]

    del dim
    m.record("CumsumBackward0", [x], [out], back)
    return out


@rule("aten.topk", "aten.sort")
def topk(m: Machine, x: Tensor, k: Any = None, dim: int = -1, *_: Any, **__: Any) -> list[Tensor]:
    """Saves int64 indices."""
    dim = dim if isinstance(dim, int) else -1
    shape = m.wanted[0] if m.wanted else (*x.shape[:dim], k, *x.shape[dim:][1:])
    out, index = m.empty(shape, x.dtype), m.empty(shape, "int64")
    before = x.shape

    def back(m: Machine, _n: Node, g: Tensor) -> Tensor:
        return ops.full(m, "aten::value_selecting_reduction_backward", before, g.dtype)  # zeros, written in place

    m.record("TopkBackward0", [x], [out], back, [index])
    return [out, index]
