"""Problem, capacity -> offsets within it, or a proof that there are none, or neither within the budget of nodes.

Runs of `search` with many orders and small limits that grow: the time of one run is heavy-tailed, so a fresh start from
another order beats a long run (Gomes and others, AAAI 1998). Weights of sections are kept between runs and fade, so
that later runs start where earlier ones failed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from graphmem.ir.memory import IntColumn
from graphmem.planner.orders import Dice, noisy, rank_of, search_orders
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
