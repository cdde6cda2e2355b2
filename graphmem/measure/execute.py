"""Model, schedule, plan -> Execution: every step run inside one real arena, compared with an ordinary run.

Each step is a model of one node whose activations are bound to their offsets, so kernels read and write the arena and
nothing else. The arena is poisoned before, a buffer again when it dies, and guards lie around it:

    | guard | x   | poison |  w0     | y    | guard |
            ^ offset 0 of the plan          ^ plan.arena

A plan that put two tensors on one place at one time, a lifetime that ended early, or a write past an end would change
an output or a guard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graphmem.ir.execution import Difference, Execution
from graphmem.ir.graph import Graph, Node
from graphmem.ir.memory import Plan
from graphmem.ir.schedule import Schedule
from graphmem.ir.types import BoundedType, TensorType
from graphmem.measure.ordinary import (
    NodeModels,
    Value,
    bind_input,
    element_type,
    made_up_inputs,
    ordinary,
    run,
    session,
    value_of,
)
from graphmem.measure.prepare import fill

if TYPE_CHECKING:
    import onnx

GUARD = 4096  # bytes on each side, and the alignment of the arena itself
POISON, GUARD_BYTE = 0xFF, 0xA5  # all bits set is a NaN as a float and -1 as an integer


def execute(
    model: onnx.ModelProto, folder: Path, graph: Graph, nodes: Sequence[Node], schedule: Schedule, plan: Plan, seed: int
) -> Execution:
    """Run `nodes`, the steps of the schedule in its order, inside the plan; `model` gets its weights from `folder`."""
    filled = fill(model, folder, seed)
    feeds = made_up_inputs(graph, seed)
    models = NodeModels(model, graph)
    arena = _Arena(graph, schedule, plan)
    expected = ordinary(model, graph, feeds, [name for name in graph.outputs if name in arena.row])
    difference = _Run(models, arena, nodes, feeds).compared({}, expected)
    if difference is not None:  # once more, with every tensor there is to compare
        every = [name for node in nodes for name in node.writes if name in arena.row]
        difference = _Run(models, arena, nodes, feeds).compared(ordinary(model, graph, feeds, every), expected)
    return Execution(
        steps=len(nodes),
        arena=plan.arena,
        bound=arena.bound,
        copied=tuple(arena.copied),
        outside=tuple(name for node in nodes for name in node.writes if name in arena.outside),
        compared=len(expected),
        filled=filled,
        guards_intact=arena.guards_intact,
        difference=difference,
    )


class _Arena:
    """One allocation of exactly the plan's bytes between two guards, and where each tensor lies in it."""

    def __init__(self, graph: Graph, schedule: Schedule, plan: Plan) -> None:
        self.plan = plan
        self.tensors = graph.tensors
        raw = np.full(plan.arena + 3 * GUARD, GUARD_BYTE, dtype=np.uint8)
        first = GUARD + -(raw.ctypes.data + GUARD) % GUARD
        self._before, self._after = raw[:first], raw[first + plan.arena :]
        self._bytes = raw[first : first + plan.arena]
        self.row = {name: row for row, buffer in enumerate(schedule.buffers) for name in buffer.tensors}
        self.outside = {name for name in self.row if not isinstance(graph.tensors[name].type, TensorType | BoundedType)}
        for name in self.outside:
            del self.row[name]
        self.births: dict[int, list[int]] = {}
        self.deaths: dict[int, list[int]] = {}
        for row, placed in enumerate(plan.placements):
            self.births.setdefault(placed.lifetime.start, []).append(row)
            self.deaths.setdefault(placed.lifetime.stop - 1, []).append(row)
        self.bound = 0
        self.copied: dict[str, None] = {}

    def reset(self) -> None:
        """Poison everything and forget what was counted."""
        self._bytes[:] = POISON
        self.bound, self.copied = 0, {}

    def poison(self, rows: Sequence[int]) -> None:
        """Overwrite buffers that begin or end their life."""
        for row in rows:
            placed = self.plan.placements[row]
            self._bytes[placed.offset : placed.offset + placed.lifetime.nbytes] = POISON

    def place_of(self, name: str, type_: TensorType) -> Value:
        """The tensor's place, for a value of this type."""
        return Value(self._bytes.ctypes.data + self.plan.placements[self.row[name]].offset, type_, self._bytes)

    def store(self, name: str, value: Value) -> Value:
        """Copy a value to the tensor's place."""
        placed = self.plan.placements[self.row[name]]
        assert value.type.nbytes <= placed.lifetime.nbytes, f"'{name}' is larger than its bound"
        content = np.frombuffer(value.content, dtype=np.uint8)
        self._bytes[placed.offset : placed.offset + content.size] = content
        return self.place_of(name, value.type)

    @property
    def guards_intact(self) -> bool:
        """Whether nothing was written outside the arena so far."""
        return bool((self._before == GUARD_BYTE).all() and (self._after == GUARD_BYTE).all())


class _Run:
    """One run of all steps in the arena."""

    def __init__(self, models: NodeModels, arena: _Arena, nodes: Sequence[Node], feeds: Mapping[str, Value]) -> None:
        self._models, self._arena, self._nodes, self._feeds = models, arena, nodes, feeds
        self._values: dict[str, Any] = {}

    def compared(self, every: Mapping[str, Value], outputs: Mapping[str, Value]) -> Difference | None:
        """Runs; the first tensor of `every` that differs right after its step, else of `outputs` at the end."""
        arena, last = self._arena, len(self._nodes) - 1
        arena.reset()
        self._compute_weights()
        for name, value in self._feeds.items():
            self._values[name] = arena.store(name, value)
        for step, node in enumerate(self._nodes):
            arena.poison([row for row in arena.births.get(step, ()) if not self._is_input(row)])
            self._execute(node)
            for name in node.writes:
                if name in every and not _equal(self._values[name], every[name]):
                    return Difference(step, node.name, node.op_type, name)
            if step < last:
                arena.poison(arena.deaths.get(step, ()))
        for name, value in outputs.items():
            if not _equal(self._values[name], value):
                return Difference(last, "", "", name)
        return None

    def _is_input(self, row: int) -> bool:
        return self._arena.plan.placements[row].lifetime.buffer in self._feeds

    def _compute_weights(self) -> None:
        """Run the nodes that only read weights, outside the arena: weights are not part of it."""
        graph = self._models.graph
        for tensor in self._models.overridable:
            self._values[tensor.name] = _weight(tensor, graph)
        for node in graph.nodes:
            if node.writes and graph.is_weight(node) and not self._models.is_constant(node.writes[0]):
                self._execute(node)

    def _execute(self, node: Node) -> None:
        """Run one node with its activations bound to their places, and remember where its outputs are."""
        what = f"node '{node.name or node.writes[0]}' ({node.op_type})"
        made = session(self._models.of(node), what)
        binding = made.io_binding()
        for name in self._models.inputs_of(node):
            bind_input(binding, name, self._values[name])
        for name in node.writes:
            self._bind_output(binding, name)
        run(made, binding, what)
        for name, result in zip(node.writes, binding.get_outputs(), strict=True):
            self._values[name] = self._arrived(name, result)

    def _bind_output(self, binding: Any, name: str) -> None:
        type_ = self._models.graph.tensors[name].type
        if name in self._arena.row and isinstance(type_, TensorType):
            place = self._arena.place_of(name, type_)
            binding.bind_output(name, "cpu", 0, element_type(type_.dtype), list(type_.shape), place.address)
        else:
            binding.bind_output(name, "cpu")

    def _arrived(self, name: str, result: Any) -> Any:
        """Where the output is now: in its place, or copied there if only its run decided its shape."""
        type_ = self._models.graph.tensors[name].type
        if not isinstance(type_, TensorType | BoundedType):
            return result
        value = value_of(result, type_.dtype)
        if name not in self._arena.row:
            return value
        if value.address == self._arena.place_of(name, value.type).address:
            self._arena.bound += 1
            return value
        if value.type.nbytes:
            self._arena.copied[name] = None
        return self._arena.store(name, value)


def _weight(tensor: onnx.TensorProto, graph: Graph) -> Value:
    """The value of an initializer that the caller could override."""
    from onnx import numpy_helper

    type_ = graph.tensors[tensor.name].type
    assert isinstance(type_, TensorType)
    content = np.frombuffer((tensor.raw_data or numpy_helper.to_array(tensor).tobytes()) or b"\0", dtype=np.uint8)
    return Value(content.ctypes.data, type_, content)


def _equal(ours: Value, theirs: Value) -> bool:
    return ours.type == theirs.type and ours.content == theirs.content
