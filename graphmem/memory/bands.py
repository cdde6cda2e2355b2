"""Schedule, Lifetimes -> Bands: the bytes alive in each step, split by what they are there for.

inputs      graph inputs                        read        read by the step
held        waiting for a later step            made        written by the step
workspace   scratch of the step
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphmem.ir.memory import IntColumn, Lifetimes, Timeline
from graphmem.ir.profile import Band
from graphmem.ir.schedule import Schedule


def bands_by_use(schedule: Schedule, alive: Lifetimes, live: Timeline) -> tuple[Band, ...]:
    """Inputs, held, read, made and workspace bytes of each step; a band that is always empty is left out."""
    is_input = np.array([buffer.kind == "input" for buffer in schedule.buffers], dtype=bool)
    inputs = _alive(alive, is_input, live.live.size)
    made = _touched(schedule, alive, is_input, is_write=True)
    read = _touched(schedule, alive, is_input, is_write=False)
    workspace = np.array([step.workspace for step in schedule.steps], dtype=np.int64)
    held = live.live - inputs - made - read - workspace
    bands = {"inputs": inputs, "held": held, "read": read, "made": made, "workspace": workspace}
    return tuple(Band(kind, column) for kind, column in bands.items() if column.any())


def bands_by_kind(
    schedule: Schedule, alive: Lifetimes, order: Sequence[str], kinds_of_rows: Sequence[str] | None = None
) -> tuple[Band, ...]:
    """Bytes of every kind of buffer in each step, in the order given (others after), workspace last.

    The kinds are those of the buffers, or, finer, `kinds_of_rows`.
    """
    steps = len(schedule.steps)
    kinds = np.array([b.kind for b in schedule.buffers] if kinds_of_rows is None else list(kinds_of_rows), dtype=str)
    names = [*order, *sorted(set(kinds.tolist()) - set(order))]
    bands = {name: _alive(alive, kinds == name, steps) for name in names}
    bands["workspace"] = np.array([step.workspace for step in schedule.steps], dtype=np.int64)
    return tuple(Band(kind, column) for kind, column in bands.items() if column.any())


def _alive(alive: Lifetimes, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]], steps: int) -> IntColumn:
    change = np.zeros(steps + 1, dtype=np.int64)
    np.add.at(change, alive.start[chosen], alive.nbytes[chosen])
    np.subtract.at(change, alive.stop[chosen], alive.nbytes[chosen])
    return np.cumsum(change)[:steps]


def _touched(
    schedule: Schedule, alive: Lifetimes, is_input: np.ndarray[tuple[int], np.dtype[np.bool_]], is_write: bool
) -> IntColumn:
    """Bytes of the buffers, inputs aside, that each step writes, or reads without writing."""
    total = []
    for step in schedule.steps:
        rows = set(step.writes) if is_write else set(step.reads) - set(step.writes)
        total.append(sum(int(alive.nbytes[row]) for row in rows if not is_input[row]))
    return np.array(total, dtype=np.int64)
