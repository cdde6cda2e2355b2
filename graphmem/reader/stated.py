"""Stated: what the caller says that the file does not: trips of loops, branches, types of tensors, values of inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx

from graphmem.ir.errors import OptionError
from graphmem.ir.graph import Issue
from graphmem.ir.options import Given
from graphmem.ir.types import TensorType, Type
from graphmem.reader.constants import is_small
from graphmem.reader.order import described
from graphmem.reader.values import Value

BRANCHES = ("then", "else")


@dataclass(slots=True)
class Stated:
    """By the name of a node or of an output (trips, branches), of a tensor (types) or of an input (values)."""

    trips: Mapping[str, int] = field(default_factory=dict)
    branches: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, Type] = field(default_factory=dict)
    inputs: Mapping[str, Given] = field(default_factory=dict)
    met: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        for name, branch in self.branches.items():
            if branch not in BRANCHES:
                raise OptionError(f"--branch {name}={branch}: a branch is 'then' or 'else'")

    def trips_of(self, node: onnx.NodeProto) -> int | None:
        """How often the loop runs."""
        name = self._named("--trip-count", self.trips, node)
        return None if name is None else self.trips[name]

    def branch_of(self, node: onnx.NodeProto) -> str | None:
        """The attribute that holds the branch which runs."""
        name = self._named("--branch", self.branches, node)
        return None if name is None else f"{self.branches[name]}_branch"

    def _named(self, option: str, known: Mapping[str, object], node: onnx.NodeProto) -> str | None:
        name = next((name for name in (node.name, *node.output) if name and name in known), None)
        if name is not None:
            self.met.add((option, name))
        return name

    def type_of(self, name: str, found: Type) -> Type | None:
        """The type of that tensor, which may not contradict what is found."""
        if name not in self.types:
            return None
        self.met.add(("--shapes-from", name))
        given = self.types[name]
        if isinstance(found, TensorType) and found != given:
            raise OptionError(f"--shapes-from: '{name}' is {found}, which contradicts the {given} given")
        return given

    def value_of(self, name: str, type_: Type) -> tuple[Value, Issue] | None:
        """The value of that input and a note of it."""
        if name not in self.inputs:
            return None
        self.met.add(("--input", name))
        given, where = self.inputs[name], f"--input {name}={_spelled(self.inputs[name])}"
        if not isinstance(type_, TensorType) or not is_small(type_.dtype, type_.elements):
            raise OptionError(f"{where}: the input is {type_}; only small integers and booleans can be given")
        if type_.dtype != "bool" and "int" not in type_.dtype:
            raise OptionError(f"{where}: the input is {type_}, neither integers nor booleans")
        numbers = [given] if isinstance(given, bool | int) else list(given)
        if len(numbers) not in (1, type_.elements):
            raise OptionError(f"{where}: the input {type_} has {type_.elements} elements, not {len(numbers)}")
        dtype = np.dtype(type_.dtype) if type_.dtype in np.sctypeDict else None
        if dtype is None or (dtype.kind in "iu" and not all(_fits(n, dtype) for n in numbers)):
            raise OptionError(f"{where}: {type_.dtype} does not hold that")
        filled = numbers * type_.elements if len(numbers) == 1 else numbers
        value = Value.exactly(np.array(filled, dtype).reshape(type_.shape))
        return value, Issue("assumption", f"input '{name}'", f"is {_spelled(given)}, as given")

    def check(self) -> None:
        """OptionError for a name that the model does not have."""
        for option, known, what in (
            ("--trip-count", self.trips, "loop"),
            ("--branch", self.branches, "If"),
            ("--shapes-from", self.types, "tensor"),
            ("--input", self.inputs, "input"),
        ):
            for name in known:
                if (option, name) not in self.met:
                    raise OptionError(f"{option}: the model has no {what} named '{name}'")


def _fits(number: int, dtype: np.dtype[np.generic]) -> bool:
    limits = np.iinfo(dtype)  # type: ignore[type-var]
    return int(limits.min) <= number <= int(limits.max)


def _spelled(given: Given) -> str:
    numbers = [given] if isinstance(given, bool | int) else list(given)
    return ",".join(str(n).lower() for n in numbers)


def trips_note(node: onnx.NodeProto, count: int) -> Issue:
    """That a loop runs so often."""
    return Issue("assumption", described(node), f"runs {count} times, as stated")


def branch_note(node: onnx.NodeProto, taken: str) -> Issue:
    """That a branch runs."""
    return Issue("branch", described(node), f"its {taken.removesuffix('_branch')} branch runs, as stated")
