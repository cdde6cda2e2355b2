"""Recompute, budget -> Point; Recompute -> Frontier: the walk through all strategies.

    keep-all, node floor -> every k-th, modules -> minimum cuts and mixtures -> annealing -> bounds, CP-SAT

Every strategy offers to one archive; the evaluator judges whatever leaves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

import numpy as np

from graphmem.checkpoint import bounds, exact
from graphmem.checkpoint import mincut as hull
from graphmem.checkpoint.annealing import Annealer, Recipe
from graphmem.checkpoint.archive import Archive, Proposal
from graphmem.checkpoint.chain import propose_chain
from graphmem.checkpoint.evaluate import judged
from graphmem.checkpoint.kernel import Kernel
from graphmem.checkpoint.simple import keep_all, node_floor, propose_knapsack, propose_simple
from graphmem.ir.errors import BrokenInvariantError, OptionError
from graphmem.ir.recompute import Frontier, Impossible, Judged, Point, Recompute, Unreached

Progress = Callable[[str], None]

LADDER = 60  # budgets of a frontier between keep-all and the floor
LADDER_WORK = 6_000_000  # moves of a run on the ladder times operations
LEAST_ROUNDS = 8_000
RESERVE = 3.0  # seconds of a timeout for loading Python and for judging and printing the answer
POINTS = 60  # of a frontier at most
RUNG = (  # one after another until one fits
    Recipe(hot=1e-4, cold=1e-6, weight=0.05),
    Recipe(hot=1e-3, cold=1e-5, weight=0.05),
    Recipe(hot=4e-3, cold=1e-5, weight=0.05),
)


@dataclass
class Search:
    """One question with all that has been found out about it."""

    question: Recompute
    deadline: float = float("inf")
    compiled: bool | None = None
    progress: Progress = lambda _: None
    archive: Archive = field(default_factory=Archive)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kernel = Kernel(self.question, self.compiled)
        self.baseline = keep_all(self.question)
        self.floor, self.floor_operation = node_floor(self.question)
        self._offer_judged(self.baseline)
        self.live = self.kernel.live(self.baseline.course.order)
        self.moment = hull.moment_of(self.question, np.array(self.live, dtype=np.int64))
        self._hull: list[hull.Mask] | None = None

    def pool(self) -> list[hull.Mask]:
        """Offer everything that needs no search; the choices on the hull."""
        if self._hull is None:
            propose_simple(self.kernel, self.moment.stage, self.archive)
            try:
                self._hull = hull.propose(self.kernel, self.moment, self.archive, self.deadline)
                propose_knapsack(self.kernel, self.moment.stage, self.archive)
            except OptionError as error:
                self.notes.append(str(error))
                self._hull = []
            self.progress(f"{len(self.archive)} courses from minimum cuts and simple rules")
        return self._hull

    def point(self, budget: int) -> Point | Impossible | Unreached:
        """The best course found within the budget, or why there is none."""
        if budget < self.floor:
            return Impossible(budget, self.floor, self.floor_operation)
        if budget >= self.baseline.peak:
            return self._point(budget, self.baseline, self.question.total_cost)
        if exact.is_tiny(self.question):
            return self._exact(budget)
        choices = self.pool()
        propose_chain(self.kernel, budget, self.archive)
        hull.close_in(self.kernel, self.moment, choices, self.archive, budget, self.deadline)
        bound = self._raised(budget, self._bound(budget), small=False)
        Annealer(self.kernel, self.archive, self.deadline).search(budget, bound.cost, self.progress)
        if self.archive.within(budget) is None:
            self._descend(budget)
        found = self.archive.within(budget)
        if found is None:
            return Unreached(budget, self.floor, self._judged(self.archive.least))
        bound = self._raised(budget, bound, small=True)
        if monotonic() > self.deadline:
            self.notes.append("time was up: a longer --timeout may find better, and another run may end elsewhere")
        return self._point(budget, self._judged(found), bound.cost)

    def _exact(self, budget: int) -> Point | Unreached:
        order = exact.cheapest(self.question, budget)
        if order is None:
            return Unreached(budget, self.floor, self.baseline)
        best = judged(self.question, order, "exact")
        return self._point(budget, best, best.cost)

    def frontier(self) -> Frontier:
        """From keep-all down to the least peak found."""
        self.pool()
        propose_chain(self.kernel, self.baseline.peak, self.archive)
        self._walk_down()
        bound = bounds.lines(self.question, self._live()) if self.choices() else self._cost_of_one_pass
        points = [self._point(p.peak, self._judged(p), bound(p.peak)) for p in self._thinned()]
        return self.as_frontier(points)

    def as_frontier(self, points: list[Point]) -> Frontier:
        """The points, with what else is known of the question."""
        notes = tuple(dict.fromkeys(self.notes))
        return Frontier(self.question, self.baseline, tuple(points), self.floor, self.floor_operation, notes)

    def _thinned(self) -> list[Proposal]:
        """At most POINTS proposals from keep-all down, evenly by peak, the ends included."""
        every = list(reversed(list(self.archive)))
        wanted = [every[0].peak - (every[0].peak - every[-1].peak) * i // (POINTS - 1) for i in range(POINTS)]
        chosen = [self.archive.within(peak) for peak in wanted]
        return list({p.peak: p for p in [every[0], *chosen, every[-1]] if p is not None}.values())

    def _walk_down(self) -> None:
        annealer = Annealer(self.kernel, self.archive, self.deadline)
        rounds = max(LEAST_ROUNDS, LADDER_WORK // max(300, len(self.question)))
        misses = 0
        for rung in range(1, LADDER):
            budget = self.baseline.peak - (self.baseline.peak - self.floor) * rung // LADDER
            for attempt, recipe in enumerate(RUNG):
                start = self.archive.within(budget) or self.archive.above(budget)
                if monotonic() > self.deadline or misses > 2:
                    return
                assert start is not None
                annealer.run(start.order, recipe, rounds << attempt, budget, rung)
                if self.archive.within(budget) is not None:
                    break
            misses = 0 if self.archive.within(budget) is not None else misses + 1

    def _descend(self, budget: int) -> None:
        """Budgets from the least peak found down to the one asked for, each starting where the last one ended."""
        annealer = Annealer(self.kernel, self.archive, self.deadline)
        recipe = Recipe(hot=1e-3, cold=1e-5, weight=0.05)
        high = self.archive.least.peak
        for rung in range(1, 9):
            if monotonic() > self.deadline:
                return
            target = high - (high - budget) * rung // 8
            annealer.run(self.archive.least.order, recipe, max(10_000, 400 * len(self.question)), target, rung)

    def _point(self, budget: int, best: Judged, bound: int) -> Point:
        if best.peak > budget or best.cost < bound:
            raise BrokenInvariantError(
                f"{best.strategy}: peak {best.peak} for {budget}, cost {best.cost} under {bound}"
            )
        return Point(budget, best, bound)

    def choices(self) -> list[hull.Mask]:
        """The choices on the hull; none where SciPy is not installed (the notes say so)."""
        return self._hull or []

    def _cost_of_one_pass(self, _: int) -> int:
        return self.question.total_cost

    def _bound(self, budget: int) -> bounds.Bound:
        if not self.choices():
            return bounds.Bound(self.question.total_cost, None)
        return bounds.cost_bound(self.question, budget, self._live(), self.deadline)

    def _live(self) -> list[int]:
        return [self.question.resident + nbytes for nbytes in self.live]

    def _raised(self, budget: int, bound: bounds.Bound, small: bool) -> bounds.Bound:
        """The bound raised by CP-SAT where that is worth it: small questions at the end, greater ones at the start."""
        found = self.archive.within(budget)
        if found is None or (len(self.question) <= bounds.SMALL) != small:
            return bound
        try:
            return bounds.proved(self.question, budget, self._live(), bound, found.cost, self.deadline)
        except OptionError as error:
            self.notes.append(str(error))
            return bound

    def _judged(self, proposal: Proposal) -> Judged:
        found = judged(self.question, proposal.order, proposal.strategy)
        if (found.peak, found.cost) != (proposal.peak, proposal.cost):
            raise BrokenInvariantError(f"{proposal.strategy} claims {proposal.peak} bytes, the evaluator {found.peak}")
        return found

    def _offer_judged(self, found: Judged) -> None:
        self.archive.offer(found.peak, found.cost, found.strategy, lambda: found.course.order)


def solve(
    question: Recompute,
    budget: int,
    timeout: float | None = None,
    compiled: bool | None = None,
    progress: Progress = lambda _: None,
) -> Point | Impossible | Unreached:
    """The cheapest course found whose peak is at most `budget` bytes. With a timeout, the best so far."""
    return Search(question, deadline_after(timeout), compiled, progress).point(budget)


def frontier(
    question: Recompute,
    timeout: float | None = None,
    compiled: bool | None = None,
    progress: Progress = lambda _: None,
) -> Frontier:
    """The trade of peak against cost."""
    return Search(question, deadline_after(timeout), compiled, progress).frontier()


def budget_of(question: Recompute, ratio: float) -> int:
    """Bytes of a ratio of the keep-all peak, rounded down."""
    return int(ratio * keep_all(question).peak + 1e-9)


def deadline_after(timeout: float | None) -> float:
    """The moment, on the monotonic clock, to stop at: what came before and the judging afterwards need time too."""
    return float("inf") if timeout is None else monotonic() + timeout - min(RESERVE, timeout / 4)


__all__ = ["Search", "budget_of", "deadline_after", "frontier", "solve"]
