"""Rows of Lifetimes -> LiveTensors: each buffer with its type, and who made it where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graphmem.ir.analysis import LiveTensor
from graphmem.ir.graph import Graph, Node, Origin
from graphmem.ir.memory import Lifetimes
from graphmem.ir.schedule import Schedule
from graphmem.ir.types import TensorType


def live_tensors(
    graph: Graph, nodes: Sequence[Node], schedule: Schedule, alive: Lifetimes, rows: Iterable[int]
) -> tuple[LiveTensor, ...]:
    """The buffers of these rows as a reader wants to see them; step i of the schedule executes `nodes[i]`."""
    made = []
    for row in rows:
        buffer, lifetime = schedule.buffers[row], alive[row]
        producer = nodes[lifetime.start] if buffer.kind != "input" and lifetime.stop else None
        made.append(
            LiveTensor(
                tensor=buffer.name,
                type=graph.tensors[buffer.name].type if buffer.tensors else TensorType("uint8", (buffer.nbytes,)),
                nbytes=buffer.nbytes,
                kind=buffer.kind,
                first_step=lifetime.start,
                last_step=max(lifetime.start, lifetime.stop - 1),
                producer=producer.op_type if producer else "",
                origin=producer.origin if producer else Origin(),
            )
        )
    return tuple(made)
