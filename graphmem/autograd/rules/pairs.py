"""Element-wise operations on two or three tensors. Formulas: tools/autograd/derivatives.yaml of torch 2.13."""

from __future__ import annotations

from typing import Any

from graphmem.autograd import ops
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import rule
from graphmem.autograd.tensor import Node, Tensor


def chain(m: Machine, grad: Tensor, names: str, *others: Tensor) -> Tensor:
    """The operators of a backward formula, one tensor each; all but the last are temporaries of the statement."""
    out = grad
    for name in names.split():
        out = ops.pointwise(m, f"aten::{name}", grad, *others)
    return out


def _other(x: Any) -> Tensor | None:
    return x if isinstance(x, Tensor) else None


def tensors(*values: Any) -> list[Tensor]:
    """Those of the values that are tensors."""
    return [v for v in values if isinstance(v, Tensor)]


def _number_saved(m: Machine, x: Any) -> Tensor | None:
    """A Python number beside a tensor becomes a tensor of 8 bytes, which products and quotients save."""
    return x if isinstance(x, Tensor) else m.empty((), "float64")


@rule("aten.add", "aten.add_")
def add(m: Machine, x: Any, y: Any, alpha: float = 1, **_: Any) -> Tensor:
    """Saves nothing; the gradient itself goes to both sides (multiplied when alpha is not 1)."""
    out = ops.pointwise(m, "aten::add", *tensors(x, y))
    m.record(
        "AddBackward0", [_other(x), _other(y)], [out],
        lambda m, n, g: (g, g if alpha == 1 or not n.needs(1) else ops.pointwise(m, "aten::mul", g)),
    )  # fmt: skip
    return out


@rule("aten.sub", "aten.rsub", "aten.sub_")
def sub(m: Machine, x: Any, y: Any, alpha: float = 1, **_: Any) -> Tensor:
    """Saves nothing; the negated side gets a new tensor."""
    out = ops.pointwise(m, "aten::sub", *tensors(x, y))

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        negated = chain(m, g, "neg" if alpha == 1 else "neg mul") if n.needs(1) else None
        return g, negated

    m.record("SubBackward0", [_other(x), _other(y)], [out], back)
    return out


@rule("aten.mul", "aten.multiply", "aten.mul_")
def mul(m: Machine, x: Any, y: Any) -> Tensor:
    """Saves each side when the other needs a gradient."""
    a, b = _number_saved(m, x), _number_saved(m, y)
    out = ops.pointwise(m, "aten::mul", *tensors(x, y))

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return (
            ops.pointwise(m, "aten::mul", g, *tensors(b), dtype=g.dtype) if n.needs(0) else None,
            ops.pointwise(m, "aten::mul", g, *tensors(a), dtype=g.dtype) if n.needs(1) else None,
        )

    m.record("MulBackward0", [a, b], [out], back, _saved_factors(a, b))
    return out


def _saved_factors(a: Tensor | None, b: Tensor | None) -> list[Tensor]:
    """The factors that a product saves: each only when the other one needs a gradient."""
    if a is None or b is None:
        return []
    return [*([b] if a.requires_grad else []), *([a] if b.requires_grad else [])]


@rule("aten.div", "aten.divide", "aten.true_divide", "aten.div_")
def div(m: Machine, x: Any, y: Any, **_: Any) -> Tensor:
    """Saves the divisor, and the dividend when the divisor needs a gradient, which takes three temporaries.

    The divisor's gradient is made first: a generated backward function goes by the names of its inputs (other, self).
    """
    a, b = _other(x), _number_saved(m, y)
    operands = tensors(x, y)
    out = ops.pointwise(m, "aten::div", *operands, dtype="" if any(t.is_float for t in operands) else "float32")

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        right = None
        if n.needs(1) and b is not None:
            with m.scope() as kept:
                first = ops.pointwise(m, "aten::div", *tensors(a), b)
                second = ops.pointwise(m, "aten::div", first, b)
                negated = ops.pointwise(m, "aten::neg", g)
                kept.append(ops.pointwise(m, "aten::mul", negated, second))
            right = kept[0]
        return ops.pointwise(m, "aten::div", g, *tensors(b)) if n.needs(0) else None, right

    saved = [] if b is None else [b, *([a] if a is not None and b.requires_grad else [])]
    m.record("DivBackward0", [a, b], [out], back, saved)
    return out


@rule("aten.pow", "aten.pow_")
def power(m: Machine, x: Any, exponent: Any) -> Tensor:
    """Saves the base (and exponent and result when those need it)."""
    a, b = _other(x), _other(exponent)
    out = ops.pointwise(m, "aten::pow", *tensors(x, exponent))
    if b is None:
        if exponent == 1:
            m.record("PowBackward0", [a], [out], lambda m, _n, g: g)
        else:
            assert a is not None
            m.record("PowBackward0", [a], [out], lambda m, _n, g: chain(m, g, "pow mul mul", a), [a])
        return out

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        with m.scope() as kept:  # exponent before self
            right = chain(m, g, "where log mul mul where", *tensors(a, b)) if n.needs(1) else None
            kept.extend([right] if right else [])
        with m.scope() as kept:
            left = chain(m, g, "eq sub pow mul mul where", *tensors(a, b)) if n.needs(0) else None
            kept.extend([left] if left else [])
        return left, right

    m.record("PowBackward1", [a, b], [out], back, [t for t in (a, b, out) if t is not None])
    return out


def _extremum(name: str) -> None:
    title = f"{name.capitalize()}Backward0"

    def run(m: Machine, x: Tensor, y: Tensor) -> Tensor:
        out = ops.pointwise(m, f"aten::{name}", x, y)

        def side(m: Machine, g: Tensor) -> Tensor:
            with m.scope() as kept:
                half = ops.pointwise(m, "aten::div", g)
                equal = ops.pointwise(m, "aten::eq", x, y, dtype="bool")
                chosen = ops.pointwise(m, "aten::where", equal, half, g, dtype=g.dtype)
                ops.pointwise(m, "aten::gt", x, y, dtype="bool")
                kept.append(chosen)
            return chosen

        def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, ...]:
            return tuple(side(m, g) if n.needs(i) else None for i in (0, 1))

        m.record(title, [x, y], [out], back, [y, x])
        return out

    rule(f"aten.{name}")(run)


for _name in ("maximum", "minimum"):
    _extremum(_name)


@rule("aten.atan2")
def atan2(m: Machine, x: Tensor, y: Tensor) -> Tensor:
    """Saves both; one reciprocal shared by both sides."""
    out = ops.pointwise(m, "aten::atan2", x, y)

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, ...]:
        chain(m, g, "mul mul add reciprocal mul", x, y)
        return tuple(ops.pointwise(m, "aten::mul", g, x, y) if n.needs(i) else None for i in (0, 1))

    m.record("Atan2Backward0", [x, y], [out], back, [y, x])
    return out


@rule("aten.where")
def where(m: Machine, condition: Tensor, x: Any = None, y: Any = None) -> Tensor:
    """Saves the condition; each wanted side gets a new tensor and a scalar zero."""
    a, b = _other(x), _other(y)
    sides = [t for t in (a, b) if t is not None]
    dtype = ops.promoted(*sides) if sides else "float32"
    for side in (x, y):
        if not isinstance(side, Tensor) and side is not None:
            ops.full(m, "aten::scalar_tensor", (), dtype)
    out = ops.pointwise(m, "aten::where", condition, *sides, dtype=dtype)

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, ...]:
        made: list[Tensor | None] = [None]
        for i in (1, 2):
            with m.scope() as kept:
                if n.needs(i):
                    ops.full(m, "aten::scalar_tensor", (), g.dtype)
                    kept.append(ops.pointwise(m, "aten::where", condition, g, dtype=g.dtype))
            made.append(kept[0] if kept else None)
        return tuple(made)

    m.record("WhereBackward0", [None, a, b], [out], back, [condition])
    return out


@rule("aten.masked_fill", "aten.masked_fill_")
def masked_fill(m: Machine, x: Tensor, mask: Tensor, value: Any) -> Tensor:
    """Saves the mask."""
    out = ops.pointwise(m, "aten::masked_fill", x, mask, dtype=x.dtype)
    m.record(
        "MaskedFillBackward0", [x], [out],
        lambda m, _n, g: ops.pointwise(m, "aten::masked_fill", g, mask, dtype=g.dtype), [mask],
    )  # fmt: skip
    del value
    return out
