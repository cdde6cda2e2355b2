"""Matrix products: mm, addmm, bmm, matmul, linear, and the functions that are built of them.

Sources: aten/src/ATen/native/LinearAlgebra.cpp (matmul, should_fold), Linear.cpp, FunctionsManual.cpp (mm_mat1_grad,
mm_mat2_grad), torch 2.13.
"""

from __future__ import annotations

from math import prod
from typing import Any

from graphmem.autograd import ops
from graphmem.autograd import strides as st
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import rule
from graphmem.autograd.rules.pairs import mul
from graphmem.autograd.strides import Shape
from graphmem.autograd.tensor import Node, Tensor
from graphmem.ir.errors import MisfitError


def _product(m: Machine, name: str, x: Tensor, y: Tensor) -> Tensor:
    return ops.full(m, name, (*x.shape[:-1], y.shape[-1]), x.dtype)


def _is_column_major(x: Tensor) -> bool:
    return x.strides[0] == 1 and x.strides[1] == x.shape[0]


def _left_grad(m: Machine, g: Tensor, left: Tensor, right: Tensor) -> Tensor:
    if _is_column_major(left):
        return ops.transpose(m, ops.full(m, "aten::mm", (right.shape[0], g.shape[0]), g.dtype))
    return ops.full(m, "aten::mm", (g.shape[0], right.shape[0]), g.dtype)


def _right_grad(m: Machine, g: Tensor, left: Tensor, right: Tensor) -> Tensor:
    if _is_column_major(right):
        return ops.transpose(m, ops.full(m, "aten::mm", (g.shape[1], left.shape[1]), g.dtype))
    return ops.full(m, "aten::mm", (left.shape[1], g.shape[1]), g.dtype)


@rule("aten.mm")
def mm(m: Machine, x: Tensor, y: Tensor) -> Tensor:
    """Saves each side when the other needs a gradient; the right one's gradient is made first."""
    out = _product(m, "aten::mm", x, y)

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        right = _right_grad(m, g, x, y) if n.needs(1) else None
        return (_left_grad(m, g, x, y) if n.needs(0) else None), right

    m.record("MmBackward0", [x, y], [out], back, _saved(x, y))
    return out


def _saved(x: Tensor, y: Tensor) -> list[Tensor]:
    return [*([x] if y.requires_grad else []), *([y] if x.requires_grad else [])]


@rule("aten.addmm")
def addmm(m: Machine, bias: Tensor, x: Tensor, y: Tensor, **_: Any) -> Tensor:
    """As mm, left first; the bias gets the gradient itself, summed."""
    out = _product(m, "aten::addmm", x, y)

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, ...]:
        left = _left_grad(m, g, x, y) if n.needs(1) else None
        right = _right_grad(m, g, x, y) if n.needs(2) else None
        return g if n.needs(0) else None, left, right

    m.record("AddmmBackward0", [bias, x, y], [out], back, _saved(x, y))
    return out


@rule("aten.bmm")
def bmm(m: Machine, x: Tensor, y: Tensor) -> Tensor:
    """Saves each side when the other needs a gradient; the right one's gradient is made first."""
    out = _product(m, "aten::bmm", x, y)

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        right = ops.full(m, "aten::bmm", y.shape, g.dtype) if n.needs(1) else None
        return (ops.full(m, "aten::bmm", x.shape, g.dtype) if n.needs(0) else None), right

    m.record("BmmBackward0", [x, y], [out], back, _saved(x, y))
    return out


@rule("aten.baddbmm")
def baddbmm(m: Machine, bias: Tensor, x: Tensor, y: Tensor, **_: Any) -> Tensor:
    """As bmm, with the gradient itself to the added tensor."""
    out = _product(m, "aten::baddbmm", x, y)

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, ...]:
        left = ops.full(m, "aten::bmm", x.shape, g.dtype) if n.needs(1) else None
        right = ops.full(m, "aten::bmm", y.shape, g.dtype) if n.needs(2) else None
        return g, left, right

    m.record("BaddbmmBackward0", [bias, x, y], [out], back, _saved(x, y))
    return out


@rule("aten.mv")
def mv(m: Machine, x: Tensor, y: Tensor) -> Tensor:
    """Matrix times vector."""
    out = ops.full(m, "aten::mv", x.shape[:1], x.dtype)

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, ...]:
        left = ops.full(m, "aten::ger", x.shape, g.dtype) if n.needs(0) else None
        return left, (ops.full(m, "aten::mv", y.shape, g.dtype) if n.needs(1) else None)

    m.record("MvBackward0", [x, y], [out], back, _saved(x, y))
    return out


@rule("aten.dot", "aten.vdot")
def dot(m: Machine, x: Tensor, y: Tensor) -> Tensor:
    """Vector times vector."""
    out = ops.full(m, "aten::dot", (), x.dtype)

    def back(m: Machine, n: Node, g: Tensor) -> list[Tensor | None]:
        return [ops.pointwise(m, "aten::mul", g, t) if n.needs(i) else None for i, t in enumerate((y, x))]

    m.record("DotBackward0", [x, y], [out], back, _saved(x, y))
    return out


def _unsafe_view(m: Machine, x: Tensor, shape: Shape) -> Tensor:
    return ops.view(m, x, shape, st.contiguous(shape), "UnsafeViewBackward0")


def _folds(x: Tensor, y: Tensor) -> bool:
    """True when the larger operand is folded to a matrix (should_fold)."""
    big, small = (x, y) if len(x.shape) >= len(y.shape) else (y, x)
    if len(big.shape) < 3 or len(small.shape) > 2:
        return False
    if small.requires_grad:
        return True
    if len(x.shape) == 2:
        return False
    return all(big.strides[i] == big.strides[i + 1] * big.shape[i + 1] for i in range(len(big.shape) - 2))


@rule("aten.matmul", "aten.__matmul__")
def matmul(m: Machine, x: Tensor, y: Tensor) -> Tensor:
    """Dispatches on ranks: dot, mv, mm, a folded mm, or bmm of expanded and flattened (perhaps cloned) batches."""
    a, b = len(x.shape), len(y.shape)
    if a == 1 and b == 1:
        return dot(m, x, y)
    if a == 2 and b == 1:
        return mv(m, x, y)
    if a == 1 and b == 2:
        return ops.squeeze(m, mm(m, ops.unsqueeze(m, x, 0), y), (0,))
    if a == 2 and b == 2:
        return mm(m, x, y)
    return _folded(m, x, y) if _folds(x, y) else _batched(m, x, y)


def _folded(m: Machine, x: Tensor, y: Tensor) -> Tensor:
    turned = len(y.shape) > len(x.shape)
    big = ops.transpose(m, y) if turned else x
    small = (ops.transpose(m, x) if len(x.shape) == 2 else x) if turned else y
    flat = ops.reshape(m, big, (prod(big.shape[:-1]), big.shape[-1]))
    if len(small.shape) == 1:
        return _unsafe_view(m, mv(m, flat, small), big.shape[:-1])
    out = _unsafe_view(m, mm(m, flat, small), (*big.shape[:-1], small.shape[1]))
    return ops.contiguous(m, ops.transpose(m, out)) if turned else out


def _batched(m: Machine, x: Tensor, y: Tensor) -> Tensor:
    left = ops.unsqueeze(m, x, 0) if len(x.shape) == 1 else x
    right = ops.unsqueeze(m, y, 1) if len(y.shape) == 1 else y
    batch = st.broadcast(left.shape[:-2], right.shape[:-2])
    flat = []
    for t in (left, right):
        wide = ops.expand(m, t, (*batch, *t.shape[-2:]))
        flat.append(ops.reshape(m, wide, (prod(batch), *t.shape[-2:])))
    shape = (*batch, *(left.shape[-2:-1] if len(x.shape) > 1 else ()), *(right.shape[-1:] if len(y.shape) > 1 else ()))
    return _unsafe_view(m, bmm(m, *flat), shape)


@rule("aten.linear")
def linear(m: Machine, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """With bias one addmm of the flattened input, else matmul with the transposed weight."""
    if not isinstance(weight, Tensor) or len(weight.shape) != 2:
        raise MisfitError("the weight is no matrix")
    turned = ops.transpose(m, weight)
    if bias is None:
        return matmul(m, x, turned)
    if len(x.shape) == 2:
        return addmm(m, bias, x, turned)
    if len(x.shape) == 1 or not x.is_contiguous:
        out = matmul(m, x, turned)
        with m.operator("aten::add_"):
            added = m.alias(out, out.shape, out.strides)
        m.record("AddBackward0", [out, bias], [added], lambda m, _n, g: (g, g))
        return added
    flat = ops.reshape(m, x, (prod(x.shape[:-1]), x.shape[-1]))
    out = addmm(m, bias, flat, turned)
    shape = (*x.shape[:-1], weight.shape[0])
    return ops.view(m, out, shape, st.contiguous(shape))


@rule("aten.bilinear")
def bilinear(m: Machine, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """An upper bound: product and result saved."""
    out = ops.full(m, "aten::_trilinear", (*x.shape[:-1], weight.shape[0]), x.dtype)
    inputs = [t for t in (x, y, weight, bias) if t is not None]
    m.record(
        "TrilinearBackward0", inputs, [out], lambda m, _n, g: [ops.like(m, "aten::sum", t) for t in inputs], inputs
    )
    return out


@rule("aten.outer", "aten.ger")
def outer(m: Machine, x: Tensor, y: Tensor) -> Tensor:
    """A product of a column and a row."""
    return mul(m, ops.unsqueeze(m, x, 1), y)
