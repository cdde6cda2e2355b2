"""Element-wise operations in place (`aten.relu_`, `nn.ReLU(inplace=True)`): the result lies where the input lay.

What the backward formula wants of the input is gone then. A few formulas have a form that goes by the result
(elu_, celu_, leaky_relu_ in tools/autograd/derivatives.yaml of torch 2.13; selu is elu); any other operation clones its
input before it writes over it. Formulas that save the result are as they were.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphmem.autograd import ops
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import rule
from graphmem.autograd.rules.elementwise import UNARY, backward_name
from graphmem.autograd.rules.pairs import chain
from graphmem.autograd.tensor import Node, Tensor

BY_RESULT = ("celu", "elu", "leaky_relu", "selu")


def _operation(name: str, saves: str, formula: str) -> Callable[..., Tensor]:
    def run(m: Machine, x: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
        is_cloned = saves == "x" and name not in BY_RESULT and m.context.grad_enabled and x.requires_grad
        before = [ops.like(m, f"aten::{name}_", x)] if is_cloned else []
        out = m.alias(x, x.shape, x.strides)
        kept = before or ([out] if saves else [])
        m.record(backward_name(name), [x], [out], lambda m, _n, g: chain(m, g, formula, *kept), kept)
        return out

    return run


for _name, (_saves, _formula) in UNARY.items():
    rule(f"aten.{_name}_")(_operation(_name, _saves, _formula))


@rule("aten.dropout_")
def dropout(m: Machine, x: Tensor, p: float = 0.5, train: Any = True) -> Tensor:
    """Saves the mask alone, in the type of x: `mul_` by it is in place (aten/src/ATen/native/Dropout.cpp)."""
    if train is False or p == 0:
        return x
    mask = ops.like(m, "aten::bernoulli_", x)
    out = m.alias(x, x.shape, x.strides)

    def back(m: Machine, _n: Node, g: Tensor) -> Tensor:
        return ops.pointwise(m, "aten::mul", g, mask)

    m.record("MulBackward0", [x], [out], back, [mask])
    return out
