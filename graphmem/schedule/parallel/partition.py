"""Lower bounds and an exact cost of a stage -> the contiguous cuts whose largest stage is smallest, with proof.

Bottleneck path over K layers of cuts: best[i][b] = min over a of max(best[i-1][a], cost[i][a, b]). It is solved with
bounds where no cost is known yet; then the stages on the path are costed, and again, until a path holds only costs.
That path is an optimum: every other has a stage whose bound is as large. Stopped early, the best path seen is returned
with the bound that no partition can go below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from graphmem.ir.memory import IntColumn

Cost = Callable[[int, int, int], int]  # stage, first cut, last cut (numbers of cuts) -> bytes


@dataclass(frozen=True, slots=True)
class Partition:
    """Numbers of the cuts between stages, ends included; `bound` is at most any partition's peak."""

    cuts: tuple[int, ...]
    peak: int
    bound: int
    costed: int

    @property
    def is_optimal(self) -> bool:
        """True when the bound is reached."""
        return self.peak == self.bound


def partition(tables: Sequence[IntColumn], cost: Cost, most: int = 1 << 30) -> Partition:
    """The best cuts of all for `tables`, of bounds for each stage; at most about `most` stages are costed.

    `tables[i][a, b]` is the bound of stage i between cuts a and b; it is replaced by costs as they become known.
    """
    known: dict[tuple[int, int, int], int] = {}
    tables = [table.copy() for table in tables]
    best: tuple[int, tuple[int, ...]] | None = None
    while True:
        bound, path = _bottleneck(tables)
        stages = [(i, a, b) for i, (a, b) in enumerate(pairwise(path))]
        for stage in stages:
            if stage not in known:
                known[stage] = tables[stage[0]][stage[1:]] = cost(*stage)
        peak = max(known[stage] for stage in stages)
        if best is None or peak < best[0]:
            best = peak, path
        if best[0] <= bound or len(known) >= most:
            return Partition(best[1], best[0], min(bound, best[0]), len(known))


def _bottleneck(tables: Sequence[IntColumn]) -> tuple[int, tuple[int, ...]]:
    """The least largest table entry on a path from the first cut to the last; of equals, the least sum of entries."""
    before = tables[0][0]
    came: list[IntColumn] = []
    for table in tables[1:]:
        through = np.maximum(before[:, None], table)
        came.append(through.argmin(axis=0))
        before = through.min(axis=0)
    at = len(before) - 1
    path = [at]
    for column in reversed(came):
        at = int(column[at])
        path.append(at)
    return int(before[-1]), (0, *reversed(path))
