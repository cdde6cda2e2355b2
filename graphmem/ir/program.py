"""Program: a forward pass as ATen calls on named values, in the order in which eager PyTorch makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from graphmem.ir.graph import Issue, Origin
from graphmem.ir.types import TensorType

NO_ORIGIN = Origin()
UNFIT = "unfit."  # + operator: target of a call for a node of the file that its converter does not fit
Role: TypeAlias = Literal["parameter", "buffer", "constant", "input"]


@dataclass(frozen=True, slots=True)
class Ref:
    """A value, by name."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """One ATen call. `args` hold Refs, plain values and lists of both; `types` are those of `outputs` in the file.

    `is_recorded` is False where it runs under torch.no_grad().
    """

    target: str
    args: tuple[Any, ...]
    outputs: tuple[str, ...]
    types: tuple[TensorType, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin = NO_ORIGIN
    is_recorded: bool = True
    reads: tuple[str, ...] = field(init=False, compare=False, repr=False)  # names of values, in order, each once

    def __post_init__(self) -> None:
        object.__setattr__(self, "reads", tuple(dict.fromkeys(_refs([*self.args, *self.kwargs.values()]))))


def _refs(values: Any) -> list[str]:
    if isinstance(values, Ref):
        return [values.name]
    if isinstance(values, list | tuple):
        return [name for value in values for name in _refs(value)]
    return []


@dataclass(frozen=True, slots=True)
class Given:
    """A value that exists before the step. `aliases` are further names of the same memory."""

    name: str
    role: Role
    type: TensorType


@dataclass(frozen=True, slots=True)
class Conclusion:
    """Something that the file does not say and that was concluded."""

    what: str
    where: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Program:
    """Calls over given values; `outputs` is what the model returns."""

    calls: tuple[Call, ...]
    given: tuple[Given, ...]
    outputs: tuple[str, ...]
    inferred: tuple[Conclusion, ...] = ()
    issues: tuple[Issue, ...] = ()
    output_type: TensorType | None = None  # of the first float output
    loose: Mapping[str, TensorType] = field(default_factory=dict)  # read by calls, made by none: shape arithmetic
    batch: tuple[int, int] | None = None  # that of the file, which the calls' types have, and the one that it runs at

    def of(self, role: Role) -> tuple[Given, ...]:
        """The given values of that role."""
        return tuple(g for g in self.given if g.role == role)
