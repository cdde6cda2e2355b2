"""Problem, goal -> the best packing found and a proved bound: greedy first, then exact search, then bisection.

The goal is what the whole plan needs anyway, so a component stops as soon as it ends at or below it.
"""

from __future__ import annotations

from time import monotonic

import numpy as np

from graphmem.planner.exact import fit
from graphmem.planner.greedy import Packing, packings
from graphmem.planner.kernel import Kernel
from graphmem.planner.orders import Keys, keys
from graphmem.planner.problem import IntColumn, Problem

SEARCHABLE_ROWS, SEARCHABLE_CELLS = 1_500, 400_000  # rows, and rows times sections that they live in
SEARCH_WORK = 500_000_000  # nodes times sections
QUICK_SHARE = 50  # the first try of the search, before repairs, gets one in so many of its nodes
PROBES = 6  # of the bisection between goal and best


def solve(
    problem: Problem, length: IntColumn, goal: int, capacity: int | None, kernel: Kernel, deadline: float
) -> tuple[Packing, int]:
    """(packing, bound in units): the bound is `goal`, or more where the search proves that the goal cannot be met."""
    key = keys(problem, length)
    improving = packings(problem, key, goal, kernel, deadline)
    best = next(improving)
    if best.top <= goal:
        return best, goal
    if not _is_searchable(problem):
        for best in improving:
            pass
        return best, goal
    nodes = SEARCH_WORK // max(problem.sections, 50)
    quick = fit(problem, key, goal, nodes // QUICK_SHARE, kernel, deadline)
    if quick.offsets is not None:
        return _searched(problem, quick.offsets), goal
    if not quick.is_impossible:
        for best in improving:
            pass
        if best.top <= goal or monotonic() > deadline:
            return best, goal
    return _search_between(problem, key, goal, capacity, best, nodes, kernel, deadline)


def _search_between(
    problem: Problem,
    key: Keys,
    goal: int,
    capacity: int | None,
    best: Packing,
    nodes: int,
    kernel: Kernel,
    deadline: float,
) -> tuple[Packing, int]:
    """The goal itself with most of the nodes, then the capacity asked for, then halfway between bound and best."""
    bound, unknown, probes = goal, goal - 1, PROBES
    queue = [goal] if capacity is None else [goal, capacity]
    while (queue or (probes and unknown + 1 < best.top)) and monotonic() < deadline:
        share = nodes if queue else nodes // 10
        probes -= not queue
        target = queue.pop(0) if queue else (unknown + best.top) // 2
        if not unknown < target < best.top:
            continue
        outcome = fit(problem, key, target, share, kernel, deadline)
        if outcome.offsets is not None:
            best = _searched(problem, outcome.offsets)
        else:
            unknown = target
            bound = target + 1 if outcome.is_impossible else bound
    return best, bound


def _is_searchable(problem: Problem) -> bool:
    cells = int((problem.stop - problem.start).sum())
    return problem.is_plain and len(problem) <= SEARCHABLE_ROWS and cells <= SEARCHABLE_CELLS


def _searched(problem: Problem, offsets: IntColumn) -> Packing:
    return Packing(offsets, int(np.max(offsets + problem.size)), "search")
