"""The table of rules: what each ATen operation allocates, saves, and does in its backward pass.

    @rule("aten.relu", "aten.relu_")
    def relu(m, x): ...

A rule runs on simulated tensors: it returns the outputs and records the backward function with what that saves. It
gets the arguments of the ATen schema; `m.wanted` holds the output shapes that the file states.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeAlias, TypeVar

from graphmem.autograd.machine import Machine, results
from graphmem.autograd.precision import called

Rule: TypeAlias = Callable[..., Any]
F = TypeVar("F", bound=Rule)
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[F], F]:
    """Register a rule under ATen names without overload; the operator that a profile shows is the first of them."""

    def decorate(function: F) -> F:
        label = names[0].replace(".", "::")
        for name in names:
            RULES[name] = _operator(function, label, name)
        return RULES[names[0]]  # type: ignore[return-value]

    return decorate


def _operator(function: Rule, label: str, name: str) -> Rule:
    """The rule as the operator `label` of a profile, with the casts that autocast makes for `name`."""

    @wraps(function)
    def run(m: Machine, *args: Any, **kwargs: Any) -> Any:
        with m.operator(label), m.scope() as kept:
            is_cast = m.autocast is not None
            value = called(m, name, function, args, kwargs) if is_cast else function(m, *args, **kwargs)
            kept.extend(results(value))
        return value

    return run
