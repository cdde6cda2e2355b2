"""Recompute -> what PyTorch's partitioner would choose at an `activation_memory_budget`: minimum cut, then a knapsack.

Reimplemented from what torch/_functorch/partitioners.py describes (torch 2.13, `activation_memory_budget`, "dp"), as
a baseline: the values that a minimum cut saves when only what is cheap is computed again are the items of a 0-1
knapsack. An item weighs its bytes and is worth the time of its own operation alone; the budget is a part of all their
bytes. What the knapsack leaves out is computed again, with all that it needs. Neither the peak nor the chain of
recomputation enters, which is why its peak may rise while its budget falls.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from graphmem.checkpoint.archive import Archive
from graphmem.checkpoint.hull import Mask, offer
from graphmem.checkpoint.kernel import Kernel
from graphmem.checkpoint.mincut import Moment
from graphmem.ir.recompute import Recompute

BUDGETS = tuple(i / 10 for i in range(11))
UNITS = 1000  # of the budget; weights are rounded up
CHEAP = 20  # an operation of at most total cost / CHEAP / operations is computed again as if it were fused


def propose_knapsack(kernel: Kernel, stage: int, archive: Archive) -> None:
    """Offer what PyTorch would choose at ten budgets."""
    if 0 < stage < len(kernel.question):
        for budget, mask in knapsack_choices(kernel.question, stage, BUDGETS):
            offer(kernel, stage, mask, archive, f"knapsack {budget:.1f}")


def knapsack_choices(question: Recompute, stage: int, budgets: tuple[float, ...]) -> Iterator[tuple[float, Mask]]:
    """(budget, what is computed again) for budgets from 0 (everything) to 1 (what is cheap)."""
    items = np.array(sorted(Moment(_with_cheap_ones_free(question), stage).free().saved), dtype=np.int64)
    sizes = np.array([question.operations[v].nbytes for v in items], dtype=np.int64)
    worth = np.array([question.operations[v].cost for v in items], dtype=np.float64)
    for budget in budgets:
        chosen = items[_knapsack(sizes, worth, int(budget * int(sizes.sum())))]
        again = np.zeros(len(question), dtype=np.bool_)
        again[:stage] = True
        again[chosen] = False
        again[[v for v in range(stage) if question.operations[v].pinned]] = False
        yield budget, again


def _with_cheap_ones_free(question: Recompute) -> Recompute:
    limit = question.total_cost // (CHEAP * max(1, len(question)))
    operations = tuple(replace(o, cost=0) if o.cost <= limit else o for o in question.operations)
    return replace(question, operations=operations)


def _knapsack(sizes: NDArray[np.int64], worth: NDArray[np.float64], room: int) -> NDArray[np.int64]:
    """The places of the items of greatest worth whose sizes fit the room."""
    unit = max(1, -(-room // UNITS))
    weights = -(-sizes // unit)
    width = room // unit + 1
    best = np.zeros(width)
    taken = np.zeros((len(sizes), width), dtype=np.bool_)
    for i, weight in enumerate(weights.tolist()):
        if weight < width:
            with_it = np.full(width, -1.0)
            with_it[weight:] = best[: width - weight] + worth[i]
            taken[i] = with_it > best
            best = np.maximum(best, with_it)
    place, chosen = width - 1, []
    for i in range(len(sizes) - 1, -1, -1):
        if taken[i, place]:
            chosen.append(i)
            place -= int(weights[i])
    return np.array(chosen[::-1], dtype=np.int64)
