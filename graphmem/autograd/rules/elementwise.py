"""Element-wise operations: one table of unary ones, and the binary ones.

UNARY: name -> (what is saved: x, out or nothing; the operators of the backward formula in order, each making a tensor
of the gradient's size, the last one the result). Formulas: tools/autograd/derivatives.yaml of torch 2.13.
"""

from __future__ import annotations

from typing import Any

from graphmem.autograd import ops
from graphmem.autograd import strides as st
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import rule
from graphmem.autograd.tensor import Node, Tensor

UNARY: dict[str, tuple[str, str]] = {
    "abs": ("x", "sgn mul"),
    "acos": ("x", "neg mul neg add rsqrt mul"),
    "acosh": ("x", "pow sub sqrt div"),
    "asin": ("x", "mul neg add rsqrt mul"),
    "asinh": ("x", "pow add rsqrt mul"),
    "atan": ("x", "mul add div"),
    "atanh": ("x", "pow neg add div"),
    "celu": ("x", "elu_backward"),
    "cos": ("x", "sin neg mul"),
    "cosh": ("x", "sinh mul"),
    "elu": ("x", "elu_backward"),
    "erf": ("x", "pow neg exp mul mul"),
    "erfc": ("x", "pow neg exp mul mul"),
    "exp": ("out", "mul"),
    "exp2": ("out", "mul mul"),
    "expm1": ("out", "add mul"),
    "gelu": ("x", "gelu_backward"),
    "hardshrink": ("x", "hardshrink_backward"),
    "hardsigmoid": ("x", "hardsigmoid_backward"),
    "hardswish": ("x", "hardswish_backward"),
    "hardtanh": ("x", "hardtanh_backward"),
    "leaky_relu": ("x", "leaky_relu_backward"),
    "log": ("x", "div"),
    "log10": ("x", "mul div"),
    "log1p": ("x", "add div"),
    "log2": ("x", "mul div"),
    "mish": ("x", "mish_backward"),
    "neg": ("", "neg"),
    "reciprocal": ("out", "mul neg mul"),
    "relu": ("out", "threshold_backward"),
    "relu6": ("x", "hardtanh_backward"),
    "rsqrt": ("out", "pow mul mul"),
    "selu": ("x", "elu_backward"),
    "sigmoid": ("out", "sigmoid_backward"),
    "silu": ("x", "silu_backward"),
    "sin": ("x", "cos mul"),
    "sinh": ("x", "cosh mul"),
    "softplus": ("x", "softplus_backward"),
    "softshrink": ("x", "softshrink_backward"),
    "sqrt": ("out", "mul div"),
    "square": ("x", "pow mul mul"),
    "tan": ("out", "pow add mul"),
    "tanh": ("out", "tanh_backward"),
    "threshold": ("x", "threshold_backward"),
}


def chain(m: Machine, grad: Tensor, names: str, *others: Tensor) -> Tensor:
    """The operators of a backward formula, one tensor each; all but the last are temporaries of the statement."""
    out = grad
    for name in names.split():
        out = ops.pointwise(m, f"aten::{name}", grad, *others)
    return out


def _unary(name: str, saves: str, formula: str) -> None:
    title = "".join(part.capitalize() for part in name.split("_")) + "Backward0"

    def run(m: Machine, x: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
        if not x.is_float:
            return ops.pointwise(m, f"aten::{name}", x, dtype="" if name in ("abs", "neg", "relu") else "float32")
        out = ops.pointwise(m, f"aten::{name}", x)
        saved = {"x": [x], "out": [out], "": []}[saves]
        m.record(title, [x], [out], lambda m, _n, g: chain(m, g, formula, *saved), saved)
        return out

    rule(f"aten.{name}", f"aten.{name}_")(run)


for _name, (_saves, _formula) in UNARY.items():
    _unary(_name, _saves, _formula)


@rule("aten.clamp", "aten.clip", "aten.clamp_min", "aten.clamp_max", "aten.clamp_")
def clamp(m: Machine, x: Tensor, low: Any = None, high: Any = None, **_: Any) -> Tensor:
    """Saves x; the backward makes a mask of bytes, of two comparisons when both bounds are given."""
    bounds = [b for b in (low, high) if b is not None]
    out = ops.pointwise(m, "aten::clamp", x, *(b for b in bounds if isinstance(b, Tensor)))

    def back(m: Machine, _n: Node, g: Tensor) -> Tensor:
        zero = ops.full(m, "aten::scalar_tensor", (), g.dtype)
        for name in ("ge", "le")[: len(bounds)]:
            ops.pointwise(m, f"aten::{name}", x, dtype="bool")
        return ops.pointwise(m, "aten::where", g, zero)

    m.record("ClampBackward1", [x], [out], back, [x])
    return out


# -- binary


def _other(x: Any) -> Tensor | None:
    return x if isinstance(x, Tensor) else None


def _operands(*values: Any) -> list[Tensor]:
    return [v for v in values if isinstance(v, Tensor)]


def _number_saved(m: Machine, x: Any) -> Tensor | None:
    """A Python number beside a tensor becomes a tensor of 8 bytes, which products and quotients save."""
    return x if isinstance(x, Tensor) else m.empty((), "float64")


@rule("aten.add", "aten.add_")
def add(m: Machine, x: Any, y: Any, alpha: float = 1, **_: Any) -> Tensor:
    """Saves nothing; the gradient itself goes to both sides (multiplied when alpha is not 1)."""
    out = ops.pointwise(m, "aten::add", *_operands(x, y))
    m.record(
        "AddBackward0", [_other(x), _other(y)], [out],
        lambda m, n, g: (g, g if alpha == 1 or not n.needs(1) else ops.pointwise(m, "aten::mul", g)),
    )  # fmt: skip
    return out


@rule("aten.sub", "aten.rsub", "aten.sub_")
def sub(m: Machine, x: Any, y: Any, alpha: float = 1, **_: Any) -> Tensor:
    """Saves nothing; the negated side gets a new tensor."""
    out = ops.pointwise(m, "aten::sub", *_operands(x, y))

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        negated = chain(m, g, "neg" if alpha == 1 else "neg mul") if n.needs(1) else None
        return g, negated

    m.record("SubBackward0", [_other(x), _other(y)], [out], back)
    return out


@rule("aten.mul", "aten.multiply", "aten.mul_")
def mul(m: Machine, x: Any, y: Any) -> Tensor:
    """Saves each side when the other needs a gradient."""
    a, b = _number_saved(m, x), _number_saved(m, y)
    out = ops.pointwise(m, "aten::mul", *_operands(x, y))

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return (
            ops.pointwise(m, "aten::mul", g, *_operands(b), dtype=g.dtype) if n.needs(0) else None,
            ops.pointwise(m, "aten::mul", g, *_operands(a), dtype=g.dtype) if n.needs(1) else None,
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
    """Saves the divisor, and the dividend when the divisor needs a gradient, which takes three temporaries."""
    a, b = _other(x), _number_saved(m, y)
    operands = _operands(x, y)
    out = ops.pointwise(m, "aten::div", *operands, dtype="" if any(t.is_float for t in operands) else "float32")

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        left = ops.pointwise(m, "aten::div", g, *_operands(b)) if n.needs(0) else None
        if not n.needs(1) or b is None:
            return left, None
        with m.scope() as kept:
            first = ops.pointwise(m, "aten::div", *_operands(a), b)
            second = ops.pointwise(m, "aten::div", first, b)
            negated = ops.pointwise(m, "aten::neg", g)
            kept.append(ops.pointwise(m, "aten::mul", negated, second))
        return left, kept[0]

    saved = [] if b is None else [b, *([a] if a is not None and b.requires_grad else [])]
    m.record("DivBackward0", [a, b], [out], back, saved)
    return out


@rule("aten.pow", "aten.pow_")
def power(m: Machine, x: Any, exponent: Any) -> Tensor:
    """Saves the base (and exponent and result when those need it)."""
    a, b = _other(x), _other(exponent)
    out = ops.pointwise(m, "aten::pow", *_operands(x, exponent))
    if b is None:
        if exponent == 1:
            m.record("PowBackward0", [a], [out], lambda m, _n, g: g)
        else:
            assert a is not None
            m.record("PowBackward0", [a], [out], lambda m, _n, g: chain(m, g, "pow mul mul", a), [a])
        return out

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        with m.scope() as kept:
            left = chain(m, g, "eq sub pow mul mul where", *_operands(a, b)) if n.needs(0) else None
            kept.extend([left] if left else [])
        with m.scope() as kept:
            right = chain(m, g, "where log mul mul where", *_operands(a, b)) if n.needs(1) else None
            kept.extend([right] if right else [])
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


@rule("aten.prelu", "aten._prelu_kernel")
def prelu(m: Machine, x: Tensor, w: Tensor) -> Tensor:
    """Saves x and the weight; the weight's gradient is made in full and then summed."""
    shape = tuple(w.elements if i == 1 or len(x.shape) == 1 else 1 for i in range(len(x.shape)))
    weight = ops.view(m, w, shape, st.contiguous(shape)) if w.shape != shape else w
    out = ops.pointwise(m, "aten::_prelu_kernel", x, weight)

    def back(m: Machine, _n: Node, g: Tensor) -> tuple[Tensor, Tensor]:
        with m.operator("aten::_prelu_kernel_backward"):
            layout = st.pointwise(x.shape, [x.layout, g.layout])
            return m.empty(x.shape, x.dtype, layout), m.empty(x.shape, x.dtype, layout)

    m.record("PreluKernelBackward0", [x, weight], [out], back, [x, weight])
    return out


@rule("aten.glu")
def glu(m: Machine, x: Tensor, dim: int = -1) -> Tensor:
    """Saves x."""
    dim %= len(x.shape)
    shape = (*x.shape[:dim], x.shape[dim] // 2, *x.shape[dim + 1 :])
    out = ops.full(m, "aten::glu", shape, x.dtype)
    m.record("GluBackward0", [x], [out], lambda m, _n, g: ops.full(m, "aten::glu_backward", x.shape, g.dtype), [x])
    return out


@rule("aten.dropout", "aten.native_dropout", "aten.dropout_")
def dropout(m: Machine, x: Tensor, p: float = 0.5, train: Any = True) -> Any:
    """CPU: saves a mask in the type of x; CUDA: a mask of bytes. Without training or with p = 0 nothing happens."""
    if train is False or p == 0:
        return x
    cuda = m.device == "cuda"
    mask = ops.like(m, "aten::bernoulli_", x, "bool" if cuda else x.dtype)
    out = ops.pointwise(m, "aten::mul", x)
    name = "NativeDropoutBackward0" if cuda else "MulBackward0"
    m.record(name, [x], [out], lambda m, _n, g: _masked(m, g), [mask])
    return out


def _masked(m: Machine, g: Tensor) -> Tensor:
    return ops.pointwise(m, "aten::native_dropout_backward" if m.device == "cuda" else "aten::mul", g)


PREDICATES = (
    "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor", "logical_not", "isnan", "isinf",
    "isfinite", "bitwise_not", "bitwise_and", "bitwise_or", "bitwise_xor",
)  # fmt: skip


def _predicate(name: str) -> None:
    def run(m: Machine, *args: Any, **_: Any) -> Tensor:
        operands = _operands(*args)
        return ops.pointwise(m, f"aten::{name}", *operands, dtype="" if name.startswith("bitwise") else "bool")

    rule(f"aten.{name}")(run)


for _name in PREDICATES:
    _predicate(_name)

INTEGRAL = "floor ceil round trunc sign sgn floor_divide remainder fmod"


def _flat(name: str) -> None:
    """Operations whose gradient is zero (made when asked for) or that work on integers."""

    def run(m: Machine, *args: Any, **_: Any) -> Tensor:
        operands = _operands(*args)
        out = ops.pointwise(m, f"aten::{name}", *operands)
        back_name = "aten::clone" if name in ("remainder", "fmod") else "aten::zeros_like"
        m.record(f"{name.capitalize()}Backward0", operands[:1], [out], lambda m, _n, g: ops.like(m, back_name, g))
        return out

    rule(f"aten.{name}")(run)


for _name in INTEGRAL.split():
    _flat(_name)
