"""Problem, goal -> the best packing found and a proved bound: greedy first, then exact search, then bisection.

The goal is what the whole plan needs anyway, so a component stops as soon as it ends at or below it.

Exact search of one capacity ends with offsets within it, a proof that there are none, or neither within its budget.
Runs of `search` with many orders and small limits that grow: the time of one run is heavy-tailed, so a fresh start from
another order beats a long run (Gomes and others, AAAI 1998). Weights of sections are kept between runs and fade, so
that later runs start where earlier ones failed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from graphmem.ir.memory import IntColumn
from graphmem.planner.greedy import Packing, packings
from graphmem.planner.orders import Dice, keys, noisy, rank_of, search_orders
from graphmem.planner.problem import Problem
from graphmem.planner.pure_search import FOUND, IMPOSSIBLE
from graphmem.planner.task import Task

FIRST_LIMIT = 4  # nodes a buffer in the first round of runs
GROWTH = (11, 10)  # of the limit from round to round
NOISE = (10, 3)  # tenths of n added to ranks, in turn
WORK_A_CALL = 20_000_000  # nodes times sections: compiled search reads no clock, so one call stays below half a second


class Outcome(NamedTuple):
    """Offsets in units when found; `is_impossible` when proved that nothing fits; neither when the budget ran out."""

    offsets: IntColumn | None
    is_impossible: bool
    nodes: int


def fit(task: Task, capacity: int, budget: int, seed: int = 1) -> Outcome:
    """Searches for offsets with no end above `capacity` units, visiting at most `budget` nodes.

    Another seed tries other orders from the second round on.
    """
    n = len(task.problem)
    orders = search_orders(task.keys, task.sections)
    weight = np.ones(task.problem.sections + 1, dtype=np.int64)
    dice = Dice(seed)
    limit, nodes, run = FIRST_LIMIT * n, 0, 0
    while nodes < budget and not task.is_late:
        order, turn = orders[run % len(orders)], run // len(orders)
        if turn:
            order = noisy(order, dice.below(n * NOISE[turn % len(NOISE)] // 10, n))
        share = min(limit, budget - nodes, max(FIRST_LIMIT * n, WORK_A_CALL // max(task.problem.sections, 50)))
        status, used, offsets = task.kernel.search(task.problem, rank_of(order), weight, capacity, share, task.deadline)
        nodes += used
        if status in (FOUND, IMPOSSIBLE):
            return Outcome(offsets if status == FOUND else None, status == IMPOSSIBLE, nodes)
        run += 1
        if run % len(orders) == 0:
            limit = limit * GROWTH[0] // GROWTH[1] + 1
            weight = (weight + 1) // 2
    return Outcome(None, False, nodes)


SEARCHABLE_ROWS, SEARCHABLE_CELLS = 1_500, 400_000  # rows, and rows times sections that they live in
SEARCH_WORK = 500_000_000  # nodes times sections
QUICK_SHARE = 50  # the first try of the search, before repairs, gets one in so many of its nodes
FIRST_SHARE = 4  # the first long try of the goal gets one in so many
PROBE_SHARE = 15  # each probe of the later bisections gets one in so many
PROBES = 6  # of a bisection between goal and best


def quick(task: Task) -> Packing:
    """The best of one greedy run of each order, or the first that meets the goal."""
    *_, best = packings(task)
    return best


def solve(task: Task, best: Packing) -> tuple[Packing, int]:
    """(packing, bound in units): the bound is the goal, or more where the search proves that it cannot be met."""
    if best.top <= task.goal:
        return best, task.goal
    if not _is_searchable(task.problem):
        *_, best = best, *packings(task, best)
        return min((best, *_padded(task, best)), key=lambda packing: packing.top), task.goal
    nodes = SEARCH_WORK // max(task.problem.sections, 50)
    first = fit(task, task.goal, nodes // QUICK_SHARE)
    if first.offsets is not None:
        return _searched(task, first.offsets), task.goal
    if not first.is_impossible:
        *_, best = best, *packings(task, best)
    if best.top <= task.goal:
        return best, task.goal
    return _search_between(task, best, nodes)


def _padded(task: Task, best: Packing) -> Iterator[Packing]:
    """Where `best` is not ideal: the packing of sizes padded to all alignments, which skyline and search can do."""
    padded = task.problem.padded
    if best.top <= task.goal or padded is None or task.is_late:
        return
    problem, unit = padded
    capacity = None if task.capacity is None else task.capacity // unit
    part = replace(
        task, problem=problem, keys=keys(problem, task.keys.length), goal=task.goal // unit, capacity=capacity
    )
    offsets = unit * solve(part, quick(part))[0].offsets
    yield Packing(offsets, int((offsets + task.problem.size).max()), "padded to the alignments")


def _search_between(task: Task, best: Packing, nodes: int) -> tuple[Packing, int]:
    """Bisects with few nodes, tries goal and capacity with many, then all with more: a timeout may strike."""
    bound = task.goal
    for probe, whole in ((nodes // QUICK_SHARE, nodes // FIRST_SHARE), (nodes // PROBE_SHARE, nodes)):
        best, bound = _bisected(task, best, bound, probe)
        for target in (task.goal, task.capacity):
            if target is not None and bound <= target < best.top and not task.is_late:
                best, bound = _tried(task, best, bound, target, whole)
    return _bisected(task, best, bound, nodes // PROBE_SHARE)


def _bisected(task: Task, best: Packing, bound: int, nodes: int) -> tuple[Packing, int]:
    """(best, bound) after some tries halfway between the best and what was not found so far."""
    failed = bound - 1
    for _ in range(PROBES):
        if failed + 1 >= best.top or task.is_late:
            break
        target = (failed + best.top) // 2
        best, bound = _tried(task, best, bound, target, nodes)
        failed = max(failed, bound - 1) if best.top <= target else target
    return best, bound


def _tried(task: Task, best: Packing, bound: int, target: int, nodes: int) -> tuple[Packing, int]:
    """(best, bound) after a search for a packing below `target`."""
    outcome = fit(task, target, nodes, seed=nodes)
    if outcome.offsets is not None:
        return _searched(task, outcome.offsets), bound
    return best, target + 1 if outcome.is_impossible else bound


def _is_searchable(problem: Problem) -> bool:
    cells = int((problem.stop - problem.start).sum())
    return problem.is_plain and len(problem) <= SEARCHABLE_ROWS and cells <= SEARCHABLE_CELLS


def _searched(task: Task, offsets: IntColumn) -> Packing:
    return Packing(offsets, int((offsets + task.problem.size).max()), "search")
