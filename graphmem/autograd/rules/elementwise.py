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
from graphmem.autograd.rules.pairs import chain, tensors
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


def backward_name(name: str) -> str:
    """The backward node of an element-wise operation: leaky_relu -> LeakyReluBackward0."""
    return "".join(part.capitalize() for part in name.split("_")) + "Backward0"


def _unary(name: str, saves: str, formula: str) -> None:
    def run(m: Machine, x: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
        if not x.is_float:
            return ops.pointwise(m, f"aten::{name}", x, dtype="" if name in ("abs", "neg", "relu") else "float32")
        out = ops.pointwise(m, f"aten::{name}", x)
        saved = {"x": [x], "out": [out], "": []}[saves]
        m.record(backward_name(name), [x], [out], lambda m, _n, g: chain(m, g, formula, *saved), saved)
        return out

    rule(f"aten.{name}")(run)


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


@rule("aten.dropout", "aten.native_dropout")
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
        operands = tensors(*args)
        return ops.pointwise(m, f"aten::{name}", *operands, dtype="" if name.startswith("bitwise") else "bool")

    rule(f"aten.{name}")(run)


for _name in PREDICATES:
    _predicate(_name)

INTEGRAL = "floor ceil round trunc sign sgn floor_divide remainder fmod"


def _flat(name: str) -> None:
    """Operations whose gradient is zero (made when asked for) or that work on integers."""

    def run(m: Machine, *args: Any, **_: Any) -> Tensor:
        operands = tensors(*args)
        out = ops.pointwise(m, f"aten::{name}", *operands)
        back_name = "aten::clone" if name in ("remainder", "fmod") else "aten::zeros_like"
        m.record(f"{name.capitalize()}Backward0", operands[:1], [out], lambda m, _n, g: ops.like(m, back_name, g))
        return out

    rule(f"aten.{name}")(run)


for _name in INTEGRAL.split():
    _flat(_name)
