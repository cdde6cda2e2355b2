"""Held: one node that holds bodies, as the rules of control flow see it, and what they say of it (Outcome)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import onnx

from graphmem.ir.budget import Budget
from graphmem.ir.errors import ModelError
from graphmem.ir.graph import Graph, Issue
from graphmem.ir.types import Type, UnknownType
from graphmem.reader.infer import NodeTyper
from graphmem.reader.names import Names
from graphmem.reader.order import bodies_of, described, steps_of
from graphmem.reader.values import Value

# An iteration is walked by itself while iterations times nodes stay below this, in one loop.
MAX_UNROLLED = 4_096


@dataclass(frozen=True, slots=True)
class Outcome:
    """Types and values of a node's outputs, its typed bodies, and how often the last of them runs (None: unknown)."""

    types: Sequence[Type]
    values: Sequence[Value | None]
    bodies: tuple[tuple[str, Graph], ...]
    trips: int | None = 1


class UnfitError(ModelError):
    """A node that no run can execute at these sizes: what holds it may do without."""


class Walker(Protocol):
    """The reading that a node with bodies is part of, as far as the rules of control flow ask it."""

    typer: NodeTyper
    issues: list[Issue]

    @property
    def budget(self) -> Budget:
        """What the whole reading may take."""

    def typed(
        self, proto: onnx.GraphProto, types: Mapping[str, Type], values: Mapping[str, Value], outer: Names | None
    ) -> tuple[Graph, Names]:
        """The graph of a body, its inputs having these types and values; and its names."""

    def weights_of(self, body: onnx.GraphProto) -> Graph:
        """A body that is not walked, reduced to its initializers."""

    def stated_trips(self, node: onnx.NodeProto) -> tuple[int, int] | None:
        """How often the caller says that a loop runs."""

    def stated_branch(self, node: onnx.NodeProto) -> str | None:
        """Which branch of an If the caller says runs."""


@dataclass(frozen=True, slots=True)
class Held:
    """One node that holds bodies, where it stands: its inputs' types and values, in order."""

    walk: Walker
    proto: onnx.NodeProto
    names: Names
    types: Sequence[Type | None]
    values: Sequence[Value | None]

    @property
    def unknown(self) -> Outcome:
        """Nothing known of the outputs; the bodies' weights alone."""
        weights = tuple((label, self.walk.weights_of(body)) for label, body in bodies_of(self.proto))
        return Outcome([UnknownType() for _ in self.proto.output], [None] * len(self.proto.output), weights)

    def body(self, name: str) -> onnx.GraphProto:
        """The body of that name; ModelError without one."""
        for label, body in bodies_of(self.proto):
            if label == name:
                return body
        raise ModelError(f"{described(self.proto)} has no {name}")

    def run(
        self, body: onnx.GraphProto, types: Sequence[Type], values: Sequence[Value | None]
    ) -> tuple[Graph, list[Type], list[Value | None]]:
        """The body walked with these inputs, and what it puts out; SpentError where the budget does not allow it."""
        self.walk.budget.draw(steps_of(body))
        if len(body.input) != len(types):
            raise ModelError(f"{described(self.proto)} gives {len(types)} values to a body of {len(body.input)} inputs")
        graph, inside = self.walk.typed(
            body,
            {info.name: type_ for info, type_ in zip(body.input, types, strict=True)},
            {info.name: value for info, value in zip(body.input, values, strict=True) if value is not None},
            self.names,
        )
        found = [inside.tensor(info.name) for info in body.output]
        return graph, [t.type if t else UnknownType() for t in found], [inside.value(i.name) for i in body.output]


def given(type_: Type | None) -> Type:
    """The type, or the unknown one of an omitted input."""
    return UnknownType() if type_ is None else type_


def truth(value: Value | None) -> bool | None:
    """The condition that a value holds, or None where only the run decides."""
    if value is None or not value.is_exact or value.low.size != 1:
        return None
    return bool(value.low.reshape(-1)[0])


@dataclass(frozen=True, slots=True)
class Versions:
    """The walks of one body that differ in some type; of those that do not, the first."""

    kept: dict[tuple[Type, ...], Graph] = field(default_factory=dict)

    def add(self, graph: Graph) -> None:
        """One more walk of the body."""
        self.kept.setdefault(tuple(tensor.type for tensor in graph.tensors.values()), graph)

    def labelled(self, label: str) -> tuple[tuple[str, Graph], ...]:
        """The graphs by their labels: their weights are the same, and count once."""
        return tuple((label if i == 0 else f"{label}#{i}", graph) for i, graph in enumerate(self.kept.values()))
