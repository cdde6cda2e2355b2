"""Recompute, budget -> a proved lower bound on the cost of any course within the budget, one moment at a time.

With the base order kept, look at the moment in which operation t is first computed. What t reads is alive, and every
other value that is still needed is either alive as well or is computed again later, from values that are alive or computed
again. The cheapest such choice whose saved bytes fit beside t is a minimum cut with a budget; its Lagrangian relaxation,

    max over price >= 0 of   minimum cut(price) - price * room

never exceeds the cost of recomputation of any course. The greatest of the bounds of many moments is the answer. In free
order a course may put anything before t, so that nothing but the cost of one pass is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from graphmem.checkpoint.mincut import Cut, Moment
from graphmem.ir.recompute import Recompute

SAMPLES = 24  # moments looked at first
STEPS = 24  # cuts of one moment at most


def cost_bound(question: Recompute, budget: int, live: Sequence[int]) -> int:
    """A lower bound on the cost of any course within the budget; `live` are the bytes of keep-all at every operation."""
    base = question.total_cost
    if not question.keep_order:
        return base
    over = [t for t, nbytes in enumerate(live) if nbytes > budget]
    if not over:
        return base
    best = max((moment_bound(question, budget, t), t) for t in _spread(over, SAMPLES))
    reach = max(1, len(over) // SAMPLES)
    while reach >= 1:  # climb to a better moment nearby
        around = [t for t in (best[1] - reach, best[1] + reach) if 0 <= t < len(live) and live[t] > budget]
        better = max([best, *((moment_bound(question, budget, t), t) for t in around)])
        reach = reach if better > best else reach // 2
        best = better
    return base + best[0]


def moment_bound(question: Recompute, budget: int, stage: int) -> int:
    """A lower bound on the cost of recomputation, from the moment in which `stage` is first computed."""
    moment = Moment(question, stage, frozenset(question.reads[stage]))
    room = budget - question.resident - question.operations[stage].nbytes
    low, high = moment.free(), moment.dearest()
    best = 0.0
    if low.nbytes <= room:
        return 0
    for _ in range(STEPS):
        best = max(best, high.value - high.price * room)
        if high.nbytes >= low.nbytes or high.cost <= low.cost:
            break
        middle = moment.cut((high.cost - low.cost) / (low.nbytes - high.nbytes))
        best = max(best, middle.value - middle.price * room)
        if _same(middle, low) or _same(middle, high):
            break
        low, high = (middle, high) if middle.nbytes > room else (low, middle)
    return ceil(best - 1e-6 * max(1.0, best))


def _same(a: Cut, b: Cut) -> bool:
    return (a.nbytes, a.cost) == (b.nbytes, b.cost)


def _spread(items: list[int], most: int) -> list[int]:
    """At most `most` of the items, evenly, first and last included."""
    if len(items) <= most:
        return items
    return [items[i * (len(items) - 1) // (most - 1)] for i in range(most)]
