"""Recompute, budget -> a proved lower bound on the cost of any course within the budget, one moment at a time.

With the base order kept, look at the moment in which operation t is first computed. What t reads is alive, and every
other value that is still needed is either alive as well or is computed again later, from values that are alive or
computed again. The cheapest such choice whose saved bytes fit beside t is a minimum cut with a budget; its Lagrangian
relaxation,

    max over price >= 0 of   minimum cut(price) - price * room

never exceeds the cost of recomputation of any course. The greatest of the bounds of many moments is the answer. In free
order a course may put anything before t, so that nothing but the cost of one pass is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from time import monotonic

from graphmem.checkpoint.cpsat import relaxed
from graphmem.checkpoint.mincut import Cut, Moment
from graphmem.ir.recompute import Recompute

SAMPLES = 24  # moments looked at first
STEPS = 24  # cuts of one moment at most
HULL = 24  # cuts behind the quick bound
SMALL = 150  # operations up to which all moments are looked at together
SMALL_EFFORT = 30.0  # units of CP-SAT's deterministic time
SINGLE_EFFORT = 2.0
LEAST_SECONDS = 1.0  # left before the deadline, or CP-SAT is not begun: to load it takes half of that


@dataclass(frozen=True, slots=True)
class Bound:
    """No course within the budget costs less than `cost`; found at `moment` (None: one pass is all that is known)."""

    cost: int
    moment: int | None


def cost_bound(question: Recompute, budget: int, live: Sequence[int], deadline: float = float("inf")) -> Bound:
    """The greatest bound of the moments looked at in time; `live` are the bytes of keep-all at every operation."""
    base = question.total_cost
    over = [t for t, nbytes in enumerate(live) if nbytes > budget]
    if not over or not question.keep_order:
        return Bound(base, None)
    fullest = sorted(over, key=lambda t: (-live[t], t))[:SAMPLES]
    looked_at: dict[int, int] = {}
    for t in dict.fromkeys([*fullest, *_spread(over, SAMPLES)]):  # the likeliest first, should time be short
        if not looked_at or monotonic() < deadline:
            looked_at[t] = moment_bound(question, budget, t)
    best = max(looked_at, key=lambda t: (looked_at[t], -t))
    reach = max(1, len(over) // SAMPLES)
    while reach >= 1 and monotonic() < deadline:  # climb to a better moment nearby
        for t in (best - reach, best + reach):
            if 0 <= t < len(live) and live[t] > budget and t not in looked_at:
                looked_at[t] = moment_bound(question, budget, t)
        better = max(looked_at, key=lambda t: (looked_at[t], -t))
        reach = reach if looked_at[better] > looked_at[best] else reach // 2
        best = better
    return Bound(base + looked_at[best], best)


def lines(question: Recompute, live: Sequence[int]) -> Callable[[int], int]:
    """Budget -> a quick bound for any budget: every cut of the fullest moment is a line under all courses' costs."""
    if not question.keep_order or not live:
        return lambda _: question.total_cost
    stage = max(range(len(live)), key=lambda t: (live[t], -t))
    cuts = Moment(question, stage, frozenset(question.reads[stage])).hull(HULL)
    beside = question.resident + question.operations[stage].nbytes

    def bound(budget: int) -> int:
        best = max(cut.value - cut.price * (budget - beside) for cut in cuts)
        return question.total_cost + max(0, ceil(best - 1e-6 * max(1.0, best)))

    return bound


def proved(question: Recompute, budget: int, live: Sequence[int], bound: Bound, best: int, deadline: float) -> Bound:
    """The bound raised by whole numbers: at its own moment, and for small questions at all moments that matter."""
    if bound.moment is None or bound.cost >= best or deadline - monotonic() < LEAST_SECONDS:
        return bound
    base = question.total_cost
    moments = [bound.moment]
    effort = SINGLE_EFFORT
    if len(question) <= SMALL:
        moments = [t for t, nbytes in enumerate(live) if 2 * nbytes > budget]
        effort = SMALL_EFFORT
    raised = base + relaxed(question, budget, moments, best - base, effort, deadline)
    return Bound(max(bound.cost, raised), bound.moment)


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
