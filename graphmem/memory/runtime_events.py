"""Schedule -> the allocations and releases of one run, in the order in which ONNX Runtime's executor does them.

Within a step: the buffers it writes, then its workspace, which goes again at once, then the buffers read for the last
time, by ascending value number (allocation_planner.cc builds the release list of a node in that order).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

from graphmem.ir.schedule import Schedule
from graphmem.memory.liveness import lifetimes

# ("take" or "release", buffer) or ("workspace", bytes)
Event: TypeAlias = "tuple[Literal['take', 'release', 'workspace'], int]"


def events(schedule: Schedule, numbers: Sequence[int]) -> Iterator[tuple[int, Event]]:
    """(step, event); buffers that leave, and those that no step reads, are never released during the run."""
    alive = lifetimes(schedule)
    leaving = set(schedule.leaving)
    ending: list[list[int]] = [[] for _ in schedule.steps]
    for buffer in sorted(range(len(schedule.buffers)), key=lambda b: (numbers[b], b)):
        if buffer not in leaving:
            ending[int(alive.stop[buffer]) - 1].append(buffer)
    for i, step in enumerate(schedule.steps):
        for buffer in step.writes:
            yield i, ("take", buffer)
        if step.workspace:
            yield i, ("workspace", step.workspace)
        for buffer in ending[i]:
            yield i, ("release", buffer)
