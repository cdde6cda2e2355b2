"""Problem, order -> offsets: put buffer after buffer into the lowest or the tightest gap that holds it, in pure Python.

Unlike the skyline this fills holes under what is placed already, keeps fixed offsets and rounds up to an alignment for
each buffer. numpy looks at all placed buffers at once, sorted by offset: quadratic, but some microseconds a buffer. The
compiled twin is `first_fit` in _kernel.c, which looks only at a window of time; both give the same offsets.
"""

from __future__ import annotations

import numpy as np

from graphmem.ir.memory import IntColumn
from graphmem.planner.problem import Problem


def first_fit(problem: Problem, order: IntColumn, best_fit: bool) -> list[int]:
    """Offsets in units; `order` lists the buffers that have fixed offsets first, then the others as they are placed."""
    n = len(problem)
    offset = [0] * n
    box = np.zeros((4, n), dtype=np.int64)  # offset, end, start, stop of the placed, by offset
    for used, x in enumerate(order.tolist()):
        start, stop, size = int(problem.start[x]), int(problem.stop[x]), int(problem.size[x])
        at = int(problem.fixed[x])
        if at < 0:
            alive = (box[2, :used] < stop) & (box[3, :used] > start)
            at = _gap(box[0, :used][alive], box[1, :used][alive], size, int(problem.step[x]), best_fit)
        row = int(np.searchsorted(box[0, :used], at, side="right"))
        box[:, row + 1 : used + 1] = box[:, row:used].copy()
        box[:, row] = (at, at + size, start, stop)
        offset[x] = at
    return offset


def _gap(offsets: IntColumn, ends: IntColumn, size: int, step: int, best_fit: bool) -> int:
    """The lowest, or the tightest, free place for `size` among boxes sorted by offset."""
    floors = np.concatenate(([0], np.maximum.accumulate(ends)))
    floors = -(-floors // step) * step
    spare = offsets - floors[:-1] - size
    fits = np.flatnonzero(spare >= 0)
    if not fits.size:
        return int(floors[-1])
    return int(floors[fits[spare[fits].argmin()] if best_fit else fits[0]])
