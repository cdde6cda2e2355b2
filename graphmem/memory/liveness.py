"""Schedule -> Lifetimes -> Timeline, in numpy columns; rows of Lifetimes -> LiveTensors.

A buffer is alive from the step that writes it through the step that last touches it; one that enters with the caller
from step 0, one that leaves with the caller through the last step.

A LiveTensor is a buffer with its type, and who made it where.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from graphmem.ir.analysis import LiveTensor
from graphmem.ir.errors import ModelError
from graphmem.ir.graph import Graph, Node, Origin
from graphmem.ir.memory import IntColumn, Lifetimes, Timeline
from graphmem.ir.schedule import Schedule
from graphmem.ir.types import TensorType


def lifetimes(schedule: Schedule) -> Lifetimes:
    """The half-open interval of steps in which each buffer is alive; empty when no step touches it.

    Raises ModelError when all buffers together exceed 2^63 bytes.
    """
    count, last = len(schedule.buffers), len(schedule.steps)
    sizes = [buffer.nbytes for buffer in schedule.buffers]
    if sum(sizes) + max((step.workspace for step in schedule.steps), default=0) >= 2**63:
        raise ModelError("all tensors together would take more than 2^63 bytes; check the dimensions bound")
    buffers, steps = _touches(schedule)
    start = np.full(count, last, dtype=np.int64)
    stop = np.zeros(count, dtype=np.int64)
    start[buffers[::-1]] = steps[::-1]  # of several assignments to one place numpy keeps the last
    stop[buffers] = steps + 1
    entering, leaving = (np.array(rows, dtype=np.int64) for rows in (schedule.entering, schedule.leaving))
    stop[leaving] = last
    start[entering] = 0
    stop[entering] = np.maximum(stop[entering], min(1, last))  # an input that nobody reads is there when the run starts
    start = np.minimum(start, stop)
    names = tuple(buffer.name for buffer in schedule.buffers)
    return Lifetimes(names, np.array(sizes, dtype=np.int64), start, stop)


def _touches(schedule: Schedule) -> tuple[IntColumn, IntColumn]:
    """(buffer, step) of every write and read, in the order of the steps."""
    rows = [step.writes + step.reads for step in schedule.steps]
    counts = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    buffers = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(counts.sum()))
    return buffers, np.repeat(np.arange(len(rows), dtype=np.int64), counts)


def timeline(alive: Lifetimes, schedule: Schedule) -> Timeline:
    """Bytes alive in each step of the schedule, workspace included."""
    steps = len(schedule.steps)
    change = np.zeros(steps + 1, dtype=np.int64)
    np.add.at(change, alive.start, alive.nbytes)
    np.subtract.at(change, alive.stop, alive.nbytes)
    workspace = np.fromiter((step.workspace for step in schedule.steps), dtype=np.int64, count=steps)
    return Timeline(np.cumsum(change[:-1]) + workspace)


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
