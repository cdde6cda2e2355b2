"""Problem, ranks, capacity -> offsets: exact search that fills niches of the skyline, with backjumping, in pure Python.

State: for each section the floor (top of what is placed there), and what of its buffers is not placed (total, count).
A niche is a flat stretch [a, b) lower than both neighbours. At its left edge, section a, only two things can be:

    1. a buffer that starts at a and stops by b lies on the bottom (a longer one would cut into a wall);
    2. nothing does, and the floor of section a rises to the least offset that anything there can still have.

The second costs waste, and a section has only its slack: capacity - floor - total. The same holds at the right edge.
Every edge of every niche is a complete choice, so the search may take any; it takes the one with the fewest options a
unit of weight, where a section's weight counts the failures seen there (dom/wdeg: Boussemart and others, ECAI 2004).
An edge with no option is a failure, and so is a wall too high for what starts (stops) beside it plus the slack.

After a failure only decisions that touch the sections it was proved in can help, so others are jumped over; this
includes solving independent stretches of time apart. Buffers of equal lifetime directly on each other are kept in order
of rank. Canonical placement, section inference and restarts of many orders go back to MiniMalloc (Moffitt, ASPLOS
2023); the choice by niche edges, the weights and the backjumping are this file's.

The compiled twin is `search` in _kernel.c; both visit the same nodes.
"""

from __future__ import annotations

from time import monotonic
from typing import NamedTuple

from graphmem.ir.memory import IntColumn
from graphmem.planner.problem import Problem

FAR = (1 << 63) - 1
OUT_OF_NODES, FOUND, IMPOSSIBLE = 0, 1, 2
NODES_BETWEEN_CLOCKS = 256


class Niche(NamedTuple):
    """An edge of the flat stretch [a, b) at height `low`: section a, or b - 1 when `right`."""

    a: int
    b: int
    low: int
    section: int
    right: bool


class _Frame:
    """A decision: the options at an edge (a buffer, or -1 - level to raise the floor) and where their failures lay."""

    __slots__ = ("begin", "end", "hi", "lo", "niche", "options", "taken", "trail")

    def __init__(self, niche: Niche, options: list[int], trail: int, lo: int, hi: int) -> None:
        self.niche, self.options, self.trail, self.lo, self.hi = niche, options, trail, lo, hi
        self.taken = self.begin = self.end = 0


class Search:
    """One search of one problem, with one order of the buffers."""

    def __init__(self, problem: Problem, rank: IntColumn, weight: IntColumn, capacity: int) -> None:
        n, m = len(problem), problem.sections
        self.n, self.m, self.capacity, self.placed = n, m, capacity, 0
        self.start, self.stop, self.size = problem.start.tolist(), problem.stop.tolist(), problem.size.tolist()
        self.rank, self.weight = rank.tolist(), weight.tolist()
        self.floor, self.total, self.count, self.top = [0] * m, [0] * m, [0] * m, [-1] * m
        self.starting, self.stopping = [0] * (m + 1), [0] * (m + 1)
        self.offset, self.least = [-1] * n, [0] * n
        self.by_start: list[list[int]] = [[] for _ in range(m + 1)]
        self.by_stop: list[list[int]] = [[] for _ in range(m + 1)]
        self.cover: list[list[int]] = [[] for _ in range(m)]
        for i in sorted(range(n), key=self.rank.__getitem__):
            self.by_start[self.start[i]].append(i)
            self.by_stop[self.stop[i]].append(i)
            self.starting[self.start[i]] += self.size[i]
            self.stopping[self.stop[i]] += self.size[i]
            for s in range(self.start[i], self.stop[i]):
                self.cover[s].append(i)
                self.total[s] += self.size[i]
                self.count[s] += 1
        self.trail: list[tuple[list[int], int, int]] = []
        self.frames: list[_Frame] = []
        self.lo = self.hi = 0  # where the last failure was proved

    def run(self, limit: int, deadline: float) -> tuple[int, int]:
        """(status, nodes visited); stops at `limit` nodes or at the `deadline` of time.monotonic()."""
        if any(total > self.capacity for total in self.total):
            return IMPOSSIBLE, 0
        nodes = 0
        while self.placed < self.n:
            if nodes >= limit or (nodes % NODES_BETWEEN_CLOCKS == 0 and monotonic() > deadline):
                return OUT_OF_NODES, nodes
            niche = self._choose()
            if niche is not None:
                self._open_frame(niche)
            elif not self._back_up():
                return IMPOSSIBLE, nodes
            self._advance()
            nodes += 1
        return FOUND, nodes

    def _set(self, cells: list[int], index: int, value: int) -> None:
        self.trail.append((cells, index, cells[index]))
        cells[index] = value

    def _is_sorted_stack(self, i: int) -> bool:
        below = self.top[self.start[i]]
        if below < 0 or self.start[below] != self.start[i] or self.stop[below] != self.stop[i]:
            return True
        is_under_all = self.top[self.stop[i] - 1] == below
        return not is_under_all or bool(self.rank[i] > self.rank[below])

    def _options(self, niche: Niche) -> list[int]:
        """Unplaced buffers that can lie on the bottom at the edge, in order of rank."""
        edge = self.by_stop[niche.b] if niche.right else self.by_start[niche.a]
        start, stop, offset = self.start, self.stop, self.offset
        return [
            i for i in edge if offset[i] < 0 and start[i] >= niche.a and stop[i] <= niche.b and self._is_sorted_stack(i)
        ]

    def _next_level(self, niche: Niche) -> int:
        """The least offset of anything at the edge that does not lie on the bottom; widens [lo, hi)."""
        up, inside = FAR, False
        start, stop, offset, least = self.start, self.stop, self.offset, self.least
        lo, hi, low = self.lo, self.hi, niche.low
        for i in self.cover[niche.section]:
            if offset[i] < 0:
                lo, hi = min(lo, start[i]), max(hi, stop[i])
                if least[i] <= low:
                    inside = True
                elif least[i] < up:
                    up = least[i]
        if inside:  # it can rest on a buffer of the niche that does not touch the edge
            edges = self.by_stop if niche.right else self.by_start
            for s in range(niche.a + 1, niche.b):
                for i in edges[s]:
                    if offset[i] < 0:
                        lo, hi = min(lo, start[i]), max(hi, stop[i])
                        up = min(up, least[i] + self.size[i])
        self.lo, self.hi = lo, hi
        return up

    def _choose(self) -> Niche | None:
        """The niche edge with the fewest options a unit of weight; None when some edge has none."""
        best, fewest, heaviest, m = None, -1, 1, self.m
        count, floor, total, capacity = self.count, self.floor, self.total, self.capacity
        b = 0
        while b < m:
            a, b = b, b + 1
            if not count[a]:
                continue
            low = floor[a]
            while b < m and count[b] and floor[b] == low:
                b += 1
            left = floor[a - 1] if a and count[a - 1] else FAR
            right = floor[b] if b < m and count[b] else FAR
            if left != FAR and left - low > self.starting[a] + capacity - low - total[a]:
                self.lo, self.hi = a - 1, a + 1
                return None
            if right != FAR and right - low > self.stopping[b] + capacity - low - total[b - 1]:
                self.lo, self.hi = b - 1, b + 1
                return None
            if left < low or right < low:
                continue
            for niche in (Niche(a, b, low, a, False), Niche(a, b, low, b - 1, True)):
                options, weight = self._count_options(niche), self.weight[niche.section]
                if not options:
                    self.weight[niche.section] += 1
                    return None
                if fewest < 0 or (fewest > 1 and (options == 1 or options * heaviest < fewest * weight)):
                    best, fewest, heaviest = niche, options, weight
        return best

    def _count_options(self, niche: Niche) -> int:
        self.lo, self.hi = max(niche.a - 1, 0), min(niche.b + 1, self.m)
        slack = self.capacity - niche.low - self.total[niche.section]
        return len(self._options(niche)) + (slack > 0 and self._next_level(niche) - niche.low <= slack)

    def _open_frame(self, niche: Niche) -> None:
        self.lo, self.hi = max(niche.a - 1, 0), min(niche.b + 1, self.m)
        seen, options = set(), []
        for i in self._options(niche):
            twin = (self.start[i], self.stop[i], self.size[i])
            if twin not in seen:
                seen.add(twin)
                options.append(i)
        slack = self.capacity - niche.low - self.total[niche.section]
        if slack > 0:
            up = self._next_level(niche)
            if up - niche.low <= slack:
                options.append(-1 - up)
        self.frames.append(_Frame(niche, options, len(self.trail), self.lo, self.hi))

    def _back_up(self) -> bool:
        """Undoes decisions until one that took part in the failure has another option; False when none is left."""
        lo, hi = self.lo, self.hi
        while self.frames:
            frame = self.frames[-1]
            while len(self.trail) > frame.trail:
                cells, index, value = self.trail.pop()
                cells[index] = value
            self.placed -= frame.options[frame.taken - 1] >= 0
            if frame.begin < hi and frame.end > lo:
                frame.lo, frame.hi = min(lo, frame.lo), max(hi, frame.hi)
                if frame.taken < len(frame.options):
                    return True
                lo, hi = frame.lo, frame.hi
                self.weight[frame.niche.section] += 1
            self.frames.pop()
        return False

    def _raise_least(self, i: int, level: int) -> None:
        if self.offset[i] < 0 and self.least[i] < level:
            self._set(self.least, i, level)

    def _advance(self) -> None:
        frame = self.frames[-1]
        x = frame.options[frame.taken]
        frame.taken += 1
        if x >= 0:
            frame.begin, frame.end = self.start[x], self.stop[x]
            self._place(x, frame.niche.low)
            return
        s = frame.niche.section
        frame.begin, frame.end = s, s + 1
        self._set(self.floor, s, -1 - x)
        self._set(self.top, s, -1)
        for i in self.cover[s]:
            self._raise_least(i, -1 - x)

    def _place(self, x: int, low: int) -> None:
        begin, end, size = self.start[x], self.stop[x], self.size[x]
        up = low + size
        self.placed += 1
        self._set(self.offset, x, low)
        self._set(self.starting, begin, self.starting[begin] - size)
        self._set(self.stopping, end, self.stopping[end] - size)
        offset, least, trail = self.offset, self.least, self.trail
        for s in range(begin, end):
            self._set(self.floor, s, up)
            self._set(self.top, s, x)
            self._set(self.total, s, self.total[s] - size)
            self._set(self.count, s, self.count[s] - 1)
            for i in self.cover[s]:
                if offset[i] < 0 and least[i] < up:
                    trail.append((least, i, least[i]))
                    least[i] = up


def search(
    problem: Problem, rank: IntColumn, weight: IntColumn, capacity: int, limit: int, deadline: float
) -> tuple[int, int, list[int]]:
    """(status, nodes, offsets in units); `rank` 0 is tried first, `weight` of each section is updated in place."""
    run = Search(problem, rank, weight, capacity)
    status, nodes = run.run(limit, deadline)
    weight[:] = run.weight
    return status, nodes, run.offset
