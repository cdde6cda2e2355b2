"""Problem, goal -> offsets: the greedy family, and squeaky-wheel repair of its best member.

Squeaky wheel (Joslin and Clements, JAIR 1999): buffers that end above the goal move forward in the order, and the greedy
method runs again. A run of the skyline takes milliseconds at 10,000 buffers, so hundreds of repairs are affordable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic
from typing import NamedTuple

import numpy as np

from graphmem.planner.kernel import Kernel
from graphmem.planner.orders import Dice, Keys, greedy_orders, noisy, rank_of
from graphmem.planner.problem import IntColumn, Problem, live

SKYLINE_WORK = 5_000_000  # buffers placed by repairs of the skyline
FIRST_FIT_WORK = 1_500_000_000  # pairs of buffers looked at by first fit


class Packing(NamedTuple):
    """Offsets in units, the highest end, and how they were found."""

    offsets: IntColumn
    top: int
    method: str


Place = Callable[[IntColumn], Packing]


def placers(problem: Problem, kernel: Kernel) -> dict[str, Place]:
    """Greedy methods that take an order, rows first to last: skyline where it can, first and best fit."""

    def packing(offsets: IntColumn, method: str) -> Packing:
        return Packing(offsets, int((offsets + problem.size).max(initial=0)), method)

    def skyline(order: IntColumn) -> Packing:
        return packing(kernel.skyline(problem, len(problem) - 1 - rank_of(order)), "skyline")

    def first_fit(order: IntColumn) -> Packing:
        return packing(kernel.first_fit(problem, _fixed_first(problem, order), False), "first-fit")

    def best_fit(order: IntColumn) -> Packing:
        return packing(kernel.first_fit(problem, _fixed_first(problem, order), True), "best-fit")

    gaps: dict[str, Place] = {"best-fit": best_fit, "first-fit": first_fit}
    return {"skyline": skyline, **gaps} if problem.is_plain else gaps


def packings(problem: Problem, keys: Keys, goal: int, kernel: Kernel, deadline: float) -> Iterator[Packing]:
    """Better and better packings, until one ends at or below `goal` or the budgets of work are spent."""
    orders = greedy_orders(keys, problem.stop - problem.start)
    best: Packing | None = None
    for name, place in placers(problem, kernel).items():
        passes = _passes(problem, name)
        starts: list[tuple[int, int]] = []
        for index, order in enumerate(orders[:passes]):
            if best is not None and monotonic() > deadline:
                return
            found = place(order)
            starts.append((found.top, index))
            if best is None or found.top < best.top:
                best = found
                yield best
            if best.top <= goal:
                return
        for _, index in sorted(starts)[:3]:
            repairs = (passes - len(orders)) // 3
            for found in _repairs(problem, orders[index], place, goal, repairs, deadline):
                if best is None or found.top < best.top:
                    best = found._replace(method=f"{found.method} with repair")
                    yield best
                if best.top <= goal:
                    return


def _repairs(
    problem: Problem, order: IntColumn, place: Place, goal: int, count: int, deadline: float
) -> Iterator[Packing]:
    """Packings of repaired orders; a repair that makes the overflow larger is taken back."""
    n, dice = len(problem), Dice()
    kept, least = order, None
    for turn in range(count):
        if monotonic() > deadline:
            return
        found = place(order)
        yield found
        over = found.offsets + problem.size - goal
        blamed = over > 0
        cost = (found.top, int(over[blamed].sum()))
        if least is None or cost <= least:
            kept, least, culprits = order, cost, blamed
        forward = np.where(culprits, dice.below(max(2, n >> (1 + turn % 4)), n), 0)
        shaken = (dice.below(100, n) == 0) * (dice.below(max(2, n // 5), n) - n // 10)
        order = noisy(kept, shaken * (turn % 3 > 0) - forward)


def _passes(problem: Problem, method: str) -> int:
    """How many runs of a greedy method the budget of work allows; the first few are always allowed."""
    if method == "skyline":
        return max(9, min(400, SKYLINE_WORK // max(len(problem), 1)))
    alive = int((problem.stop - problem.start).sum()) // max(problem.sections, 1)
    affordable = FIRST_FIT_WORK // max(len(problem) * alive, 1)
    return min(60, affordable) if problem.is_plain else max(3, min(60, affordable))


def _fixed_first(problem: Problem, order: IntColumn) -> IntColumn:
    is_fixed = problem.fixed[order] >= 0
    return np.concatenate((order[is_fixed], order[~is_fixed]))


def bound(problem: Problem) -> int:
    """No packing of the problem ends below this: the most units alive at once, or the highest fixed end."""
    ends = np.where(problem.fixed >= 0, problem.fixed + problem.size, 0)
    return max(int(live(problem).max(initial=0)), int(ends.max(initial=0)))
