"""Problem, ranks -> offsets: fill the lowest niche of the skyline with the highest-ranked buffer that fits, in pure Python.

The skyline is the top of what is placed, over time. A niche [a, b) is a flat lowest stretch of it; a buffer fits if it
lives within [a, b). When none fits, the niche is raised to its lower wall, and what lies under it is lost.

    level        +--+          Each buffer is placed once and each placement makes at most two new segments; a tree over
      ^   +------+  |          the buffers by start, with the least stop and the highest rank of each subtree, finds the
      |   |  a   +--+ b        best candidate. So the time is near-linear and does not depend on how many are alive.

The compiled twin is `skyline` in _kernel.c; both give the same offsets.
"""

from __future__ import annotations

from heapq import heappop, heappush

from graphmem.planner.problem import IntColumn, Problem

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


def skyline(problem: Problem, rank: IntColumn) -> list[int]:
    """Offsets by the skyline rule; `rank` has each of 0..n-1 once, the highest goes first."""
    m = problem.sections
    start, stop, size = problem.start.tolist(), problem.stop.tolist(), problem.size.tolist()
    candidates = _Candidates(problem, rank.tolist())
    level, following, previous, head = [0] * (m + 1), [0] * (m + 1), [0] * (m + 1), [False] * (m + 1)
    following[0], previous[0], head[0] = m, -1, True
    heap = [(0, 0)]
    offset = [0] * len(problem)
    left = len(problem)
    while left:
        low, a = heappop(heap)
        if not head[a] or level[a] != low:
            continue  # a segment that has changed since it was pushed
        b = following[a]
        while b < m and level[b] == low:
            head[b] = False
            b = following[b]
        following[a] = b
        if b < m:
            previous[b] = a
        x = candidates.take(a, b)
        if x < 0:
            walls = (level[previous[a]] if previous[a] >= 0 else FAR, level[b] if b < m else FAR)
            at = previous[a] if walls[0] == min(walls) else a
            if at != a:
                head[a], following[at] = False, b
                if b < m:
                    previous[b] = at
            level[at] = min(walls)
            heappush(heap, (level[at], at))
            continue
        s, e, top = start[x], stop[x], low + size[x]
        offset[x] = low
        left -= 1
        if s > a:
            following[a], previous[s] = s, a
            heappush(heap, (low, a))
        level[s], head[s], following[s] = top, True, e
        if e < b:
            level[e], head[e], following[e], previous[e] = low, True, b, s
            heappush(heap, (low, e))
        if b < m:
            previous[b] = e if e < b else s
        p = previous[s]
        if p >= 0 and level[p] == top:
            head[s], following[p] = False, following[s]
            if following[s] < m:
                previous[following[s]] = p
            s = p
        heappush(heap, (top, s))
    return offset
