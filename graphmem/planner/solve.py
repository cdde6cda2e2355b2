"""Problem, goal -> the best packing found and a proved bound: greedy first, then exact search, then bisection.

The goal is what the whole plan needs anyway, so a component stops as soon as it ends at or below it.
"""

from __future__ import annotations

from graphmem.ir.memory import IntColumn
from graphmem.planner.exact import fit
from graphmem.planner.greedy import Packing, packings
from graphmem.planner.problem import Problem
from graphmem.planner.task import Task

SEARCHABLE_ROWS, SEARCHABLE_CELLS = 1_500, 400_000  # rows, and rows times sections that they live in
SEARCH_WORK = 500_000_000  # nodes times sections
QUICK_SHARE = 50  # the first try of the search, before repairs, gets one in so many of its nodes
PROBES = 6  # of the bisection between goal and best


def solve(task: Task) -> tuple[Packing, int]:
    """(packing, bound in units): the bound is the goal, or more where the search proves that it cannot be met."""
    *_, best = packings(task)
    if best.top <= task.goal:
        return best, task.goal
    if not _is_searchable(task.problem):
        *_, best = best, *packings(task, best)
        return best, task.goal
    nodes = SEARCH_WORK // max(task.problem.sections, 50)
    quick = fit(task, task.goal, nodes // QUICK_SHARE)
    if quick.offsets is not None:
        return _searched(task, quick.offsets), task.goal
    if not quick.is_impossible:
        *_, best = best, *packings(task, best)
    if best.top <= task.goal:
        return best, task.goal
    return _search_between(task, best, nodes)


def _search_between(task: Task, best: Packing, nodes: int) -> tuple[Packing, int]:
    """Tries the goal with most of the nodes, then the capacity asked for, then halfway between what failed and best."""
    bound, failed, probes = task.goal, task.goal - 1, PROBES
    queue = [task.goal] if task.capacity is None else [task.goal, task.capacity]
    while (queue or (probes and failed + 1 < best.top)) and not task.is_late:
        share = nodes if queue else nodes // 10
        probes -= not queue
        target = queue.pop(0) if queue else (failed + best.top) // 2
        if not failed < target < best.top:
            continue
        outcome = fit(task, target, share)
        if outcome.offsets is not None:
            best = _searched(task, outcome.offsets)
        else:
            failed = target
            bound = target + 1 if outcome.is_impossible else bound
    return best, bound


def _is_searchable(problem: Problem) -> bool:
    cells = int((problem.stop - problem.start).sum())
    return problem.is_plain and len(problem) <= SEARCHABLE_ROWS and cells <= SEARCHABLE_CELLS


def _searched(task: Task, offsets: IntColumn) -> Packing:
    return Packing(offsets, int((offsets + task.problem.size).max()), "search")
