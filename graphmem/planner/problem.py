"""The planner's question in its smallest form: lifetimes on a short time axis, sizes in the largest common unit.

Two steps make it small without changing the answer. Sizes are rounded up to the alignment and divided by their greatest
common divisor. Time is compressed to the maximal sections, those after a start and before a stop: whatever is alive at
any other time is alive together at one of these, so keeping overlap-free there is keeping overlap-free everywhere.

    steps     0  1  2  3  4  5          sections   0  1
    a         [=====)                   a          [==)
    b            [========)             b          [=====)
    c                  [=====)          c             [==)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphmem.ir.memory import IntColumn

COARSEST = 4096  # units to which sizes may be padded


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Rows alive in sections [start, stop), `size` units each, at multiples of `step`, or at `fixed` if >= 0."""

    start: IntColumn
    stop: IntColumn
    size: IntColumn
    step: IntColumn
    fixed: IntColumn
    sections: int

    def __len__(self) -> int:
        return int(self.start.size)

    @property
    def is_plain(self) -> bool:
        """True when no row has a fixed offset or an alignment beyond the unit: what skyline and search can do."""
        return bool((self.fixed < 0).all() and (self.step == 1).all())

    @property
    def padded(self) -> tuple[Problem, int] | None:
        """(the plain problem of sizes padded to all alignments, its unit in units of this one), or None.

        Any packing of it is one of this. None where offsets are fixed or the alignments have no small common multiple.
        """
        unit = int(np.lcm.reduce(np.unique(self.step)))
        if (self.fixed >= 0).any() or not 1 < unit <= COARSEST:
            return None
        return Problem(
            self.start, self.stop, -(-self.size // unit), np.ones_like(self.step), self.fixed, self.sections
        ), unit

    def rows(self, rows: IntColumn) -> Problem:
        """The problem of some of the rows, on its own time axis."""
        start, stop, sections = compressed(self.start[rows], self.stop[rows])
        return Problem(start, stop, self.size[rows], self.step[rows], self.fixed[rows], sections)


def compressed(start: IntColumn, stop: IntColumn) -> tuple[IntColumn, IntColumn, int]:
    """(start, stop, number of sections) on the axis of maximal sections; no lifetime may be empty."""
    if not start.size:
        return start.copy(), stop.copy(), 0
    times = np.concatenate((stop, start))
    opens = np.concatenate((np.zeros(stop.size, dtype=np.int64), np.ones(start.size, dtype=np.int64)))
    order = np.lexsort((opens, times))  # at one time, stops come before starts
    kind = opens[order]
    before = np.concatenate(([0], kind[:-1]))
    section = np.cumsum((kind == 0) & (before == 1))  # a section ends with the first stop after a start
    place = np.empty(times.size, dtype=np.int64)
    place[order] = section
    return place[stop.size :], place[: stop.size], int(section[-1])


def live(problem: Problem) -> IntColumn:
    """Units alive in each section."""
    change = np.zeros(problem.sections + 1, dtype=np.int64)
    np.add.at(change, problem.start, problem.size)
    np.add.at(change, problem.stop, -problem.size)
    return np.cumsum(change)[: problem.sections]


def components(start: IntColumn, stop: IntColumn) -> list[IntColumn]:
    """Rows of each stretch of time that no buffer crosses the ends of, in order of time; rows ascending."""
    if not start.size:
        return []
    order = np.lexsort((np.arange(start.size), start))
    reach = np.maximum.accumulate(stop[order])
    cuts = np.flatnonzero(start[order][1:] >= reach[:-1]) + 1
    return [np.sort(rows) for rows in np.split(order, cuts)]


def tightness(problem: Problem) -> IntColumn:
    """For each row the most units alive in any section of its life (a sparse table of maxima answers all at once)."""
    tables = [live(problem)]
    while 1 << len(tables) <= problem.sections:
        half = 1 << (len(tables) - 1)
        tables.append(np.maximum(tables[-1][:-half], tables[-1][half:]))
    result = np.zeros(len(problem), dtype=np.int64)
    length = problem.stop - problem.start
    for power, table in enumerate(tables):
        rows = np.flatnonzero((length >= 1 << power) & (length < 2 << power))
        result[rows] = np.maximum(table[problem.start[rows]], table[problem.stop[rows] - (1 << power)])
    return result
