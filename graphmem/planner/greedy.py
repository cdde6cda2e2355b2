"""Problem, goal -> offsets: the greedy family, and squeaky-wheel repair of its best member.

Squeaky wheel (Joslin and Clements, JAIR 1999): buffers that end above the goal move forward in the order, and the
greedy method runs again. The skyline takes milliseconds at 10,000 buffers, so hundreds of repairs are affordable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from graphmem.ir.memory import IntColumn
from graphmem.planner.kernel import Kernel
from graphmem.planner.orders import Dice, greedy_orders, mixed, mixing_columns, noisy, rank_of
from graphmem.planner.problem import Problem, live
from graphmem.planner.task import Task

SKYLINE_WORK = 1_500_000  # buffers placed by mixed orders of the skyline, and as many by repairs
FIRST_FIT_WORK = 200_000_000  # pairs of buffers looked at by first fit
REPAIRABLE_ROWS = 5_000  # on larger problems repairs have never beaten mixed orders
NO_PACKING = 1 << 62  # the top of what breaks a fixed offset
MIX = 9  # weights of mixed keys are below this


class Packing(NamedTuple):
    """Offsets in units, the highest end, and how they were found."""

    offsets: IntColumn
    top: int
    method: str


Place = Callable[[IntColumn], Packing]


def placers(problem: Problem, kernel: Kernel) -> dict[str, Place]:
    """Greedy methods that take an order, rows first to last: skyline where it can, first and best fit.

    With fixed offsets the skyline comes last: it puts those buffers first, which is where they belong only if they lie
    on the floor; else what it made is no packing.
    """

    def packing(offsets: IntColumn, method: str) -> Packing:
        return Packing(offsets, int((offsets + problem.size).max(initial=0)), method)

    plain = replace(problem, fixed=np.full_like(problem.fixed, -1))
    is_fixed = problem.fixed >= 0

    def skyline(order: IntColumn) -> Packing:
        offsets = kernel.skyline(plain, len(problem) - 1 - rank_of(_fixed_first(problem, order)))
        found = packing(offsets, "skyline")
        return found if (offsets == problem.fixed)[is_fixed].all() else found._replace(top=NO_PACKING)

    def first_fit(order: IntColumn) -> Packing:
        return packing(kernel.first_fit(problem, _fixed_first(problem, order), False), "first-fit")

    def best_fit(order: IntColumn) -> Packing:
        return packing(kernel.first_fit(problem, _fixed_first(problem, order), True), "best-fit")

    gaps: dict[str, Place] = {"best-fit": best_fit, "first-fit": first_fit}
    if problem.is_plain:
        return {"skyline": skyline, **gaps}
    return {**gaps, "skyline": skyline} if plain.is_plain else gaps


def packings(task: Task, best: Packing | None = None) -> Iterator[Packing]:
    """Better and better packings, until one ends at or below the goal or the budgets of work are spent.

    Without a `best` so far: one run of each order, by the skyline where that can be. With one: all the rest.
    """
    for packing in _family(task) if best is None else _rest(task):
        if best is None or packing.top < best.top:
            best = packing
            yield best
        if best.top <= task.goal or task.is_late:
            return


def _family(task: Task) -> Iterator[Packing]:
    place = next(iter(placers(task.problem, task.kernel).values()))
    return (place(order) for order in greedy_orders(task.keys, task.sections))


def _rest(task: Task) -> Iterator[Packing]:
    """Mixed orders by the skyline where that can be; then each method with each order and repairs of its best three."""
    orders = greedy_orders(task.keys, task.sections)
    for name, place in placers(task.problem, task.kernel).items():
        passes = _passes(task.problem, name)
        if name == "skyline":
            yield from _mixes(task, place, passes)
        if name == "skyline" and len(task.problem) > REPAIRABLE_ROWS:
            continue  # each order had its turn in `_family`
        tops = []
        for index, order in enumerate(orders[:passes]):
            packing = place(order)
            tops.append((packing.top, index))
            yield packing
        if len(task.problem) > REPAIRABLE_ROWS:
            continue
        for _, index in sorted(tops)[:3]:
            repairs = max(0, passes - len(orders)) // 3
            for packing in _repairs(task, orders[index], place, repairs):
                yield packing._replace(method=f"{packing.method} with repair")


def _mixes(task: Task, place: Place, count: int) -> Iterator[Packing]:
    """Packings of orders by random mixtures of keys, then also by small changes of the best mixture and by blame."""
    n, dice, columns = len(task.problem), Dice(), mixing_columns(task.keys, task.sections)
    nothing = np.zeros(n, dtype=np.int64)
    kept, least, culprits = (np.zeros(len(columns), dtype=np.int64), nothing), None, nothing > 0
    for turn in range(count):
        weights, push = dice.below(MIX, len(columns)) * (dice.below(10, len(columns)) < 6), kept[1]
        if least is None or turn * 3 < count or turn % 4 == 0:
            push = nothing
        else:
            change = (dice.below(5, len(columns)) - 2) * (dice.below(10, len(columns)) < 4)
            weights = np.maximum(kept[0] + change, 0)
            push = push + np.where(culprits, dice.below(n, n), 0) * (turn % 2)
        packing = place(mixed(columns, weights, push))
        yield packing._replace(method="skyline of mixed keys")
        over = packing.offsets + task.problem.size - task.goal
        cost = (packing.top, int(over[over > 0].sum()))
        if least is None or cost < least:
            kept, least, culprits = (weights, push), cost, over > 0


def _repairs(task: Task, order: IntColumn, place: Place, count: int) -> Iterator[Packing]:
    """Packings of repaired orders; a repair that makes the overflow larger is taken back."""
    n, dice = len(task.problem), Dice()
    kept, least, culprits = order, None, np.zeros(n, dtype=bool)
    for turn in range(count):
        packing = place(order)
        yield packing
        over = packing.offsets + task.problem.size - task.goal
        cost = (packing.top, int(over[over > 0].sum()))
        if least is None or cost <= least:
            kept, least, culprits = order, cost, over > 0
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
