"""Tensors made from nothing."""

from __future__ import annotations

from typing import Any

from graphmem.autograd import ops
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import rule
from graphmem.autograd.tensor import Tensor


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
def new_full(m: Machine, x: Tensor, shape: Any, *_: Any, dtype: Any = None, **__: Any) -> Tensor:
    """A tensor of the stated shape and the type of x."""
    return m.empty(m.wanted[0] if m.wanted else tuple(shape), _dtype(m, dtype, x.dtype))


@rule("aten.scalar_tensor", "aten.tensor")
def scalar_tensor(m: Machine, *_: Any, dtype: Any = None, **__: Any) -> Tensor:
    """One number."""
    return m.empty((), _dtype(m, dtype, "float32"))
