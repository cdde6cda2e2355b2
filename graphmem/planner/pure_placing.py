"""Problem, ranks or order -> offsets: the skyline and the first fit of _kernel.c in pure Python.

The lowest niche of the skyline takes the highest-ranked buffer that fits. The skyline is the top of what is placed,
over time. A niche [a, b) is a flat lowest stretch of it; a buffer fits if it lives within [a, b). When none fits, the
niche is raised to its lower wall, and what lies under it is lost.

    level        +--+          Each buffer is placed once and each placement makes at most two new segments; a tree over
      ^   +------+  |          the buffers by start, with the least stop and the highest rank of each subtree, finds the
      |   |  a   +--+ b        best candidate. So the time is near-linear and does not depend on how many are alive.

The compiled twin is `skyline` in _kernel.c; both give the same offsets.

First fit puts buffer after buffer into the lowest or the tightest gap that holds it. Unlike the skyline this fills
holes under what is placed already, keeps fixed offsets and rounds up to an alignment for each buffer. numpy looks at
all placed buffers at once, sorted by offset: quadratic, but some microseconds a buffer. The compiled twin is
`first_fit` in _kernel.c, which looks only at a window of time; both give the same offsets.
"""

from __future__ import annotations

from heapq import heappop, heappush

import numpy as np

from graphmem.ir.memory import IntColumn
from graphmem.planner.problem import Problem

FAR = (1 << 63) - 1


class _Candidates:
    """The unplaced buffers by start, as a tree with the least stop and the highest rank below each node."""

    def __init__(self, problem: Problem, rank: list[int]) -> None:
        n = len(problem)
        start, stop = problem.start.tolist(), problem.stop.tolist()
        self.order = sorted(range(n), key=lambda i: (start[i], i))
        self.width = 1
        while self.width < n:
            self.width *= 2
        padding = self.width - n
        self.stops = [0] * self.width + [stop[i] for i in self.order] + [FAR] * padding
        self.ranks = [0] * self.width + [rank[i] for i in self.order] + [-1] * padding
        self.first = [0] * (problem.sections + 1)
        for i in range(n):
            self.first[start[i] + 1] += 1
        for s in range(problem.sections):
            self.first[s + 1] += self.first[s]
        for p in range(self.width - 1, 0, -1):
            self._pull(p)

    def _pull(self, p: int) -> None:
        left, right = 2 * p, 2 * p + 1
        self.stops[p] = min(self.stops[left], self.stops[right])
        self.ranks[p] = max(self.ranks[left], self.ranks[right])

    def take(self, a: int, b: int) -> int:
        """Removes and returns the highest-ranked buffer that lives within [a, b); -1 when there is none."""
        leaf = self._best(self.first[a], self.first[b], b)
        if leaf < 0:
            return -1
        p = self.width + leaf
        self.stops[p], self.ranks[p] = FAR, -1
        while p > 1:
            p //= 2
            self._pull(p)
        return self.order[leaf]

    def _best(self, begin: int, end: int, stop: int) -> int:
        stops, ranks = self.stops, self.ranks
        best, leaf = -1, -1
        stack = [(1, 0, self.width)]
        while stack:
            p, lo, hi = stack.pop()
            if hi <= begin or end <= lo or stops[p] > stop or ranks[p] <= best:
                continue
            if hi - lo == 1:
                best, leaf = ranks[p], lo
                continue
            middle = (lo + hi) // 2
            halves = ((2 * p + 1, middle, hi), (2 * p, lo, middle))
            stack.extend(halves if ranks[2 * p] >= ranks[2 * p + 1] else halves[::-1])
        return leaf


class _Skyline:
    """Segments of time by their first section: level, next and previous segment, and whether it is still one."""

    def __init__(self, sections: int) -> None:
        self.m = sections
        self.level, self.next = [0] * (sections + 1), [sections] * (sections + 1)
        self.previous, self.is_head = [-1] * (sections + 1), [False] * (sections + 1)
        self.heap = [(0, 0)]
        self.is_head[0] = True

    def lowest(self) -> tuple[int, int, int]:
        """(a, b, level) of the lowest, then leftmost segment, merged with equal ones that follow."""
        while True:
            low, a = heappop(self.heap)
            if self.is_head[a] and self.level[a] == low:  # else it has changed since it was pushed
                break
        b = self.next[a]
        while b < self.m and self.level[b] == low:
            self.is_head[b] = False
            b = self.next[b]
        self._link(a, b)
        return a, b, low

    def raise_niche(self, a: int, b: int) -> None:
        """Lifts the segment [a, b) to its lower wall, merging it with a wall on the left of that height."""
        before = self.previous[a]
        left = self.level[before] if before >= 0 else FAR
        up = min(left, self.level[b] if b < self.m else FAR)
        if left == up:
            self.is_head[a] = False
            a = before
            self._link(a, b)
        self.level[a] = up
        heappush(self.heap, (up, a))

    def cover(self, a: int, b: int, begin: int, end: int, size: int) -> None:
        """Puts `size` on the stretch [begin, end) of the segment [a, b)."""
        low = self.level[a]
        if begin > a:
            self._link(a, begin)
            heappush(self.heap, (low, a))
        self.level[begin], self.is_head[begin] = low + size, True
        self._link(begin, end)
        if end < b:
            self.level[end], self.is_head[end] = low, True
            self._link(end, b)
            heappush(self.heap, (low, end))
        before = self.previous[begin]
        if before >= 0 and self.level[before] == low + size:
            self.is_head[begin] = False
            self._link(before, self.next[begin])
            begin = before
        heappush(self.heap, (low + size, begin))

    def _link(self, a: int, b: int) -> None:
        self.next[a] = b
        if b < self.m:
            self.previous[b] = a


def skyline(problem: Problem, rank: IntColumn) -> list[int]:
    """Offsets by the skyline rule; `rank` has each of 0..n-1 once, the highest goes first."""
    start, stop, size = problem.start.tolist(), problem.stop.tolist(), problem.size.tolist()
    candidates, line = _Candidates(problem, rank.tolist()), _Skyline(problem.sections)
    offset = [0] * len(problem)
    left = len(problem)
    while left:
        a, b, low = line.lowest()
        x = candidates.take(a, b)
        if x < 0:
            line.raise_niche(a, b)
        else:
            line.cover(a, b, start[x], stop[x], size[x])
            offset[x] = low
            left -= 1
    return offset


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
