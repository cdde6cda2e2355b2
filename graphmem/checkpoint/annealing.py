"""Budget -> proposals: annealing of whole sequences of computations, in waves that grow longer while they still gain.

A move adds a computation before a read (and perhaps of its sources before it), removes one (and sources that nobody
reads any more), or shifts one; in free order also a first one. The energy is cost + weight * bytes over the budget,
summed over the steps; the weight follows the share of time spent within the budget. Every run has its own seed and its
own count of moves, so that the result does not depend on how many run at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from graphmem.checkpoint.archive import Archive, Proposal
from graphmem.checkpoint.kernel import INSTANCES, Kernel
from graphmem.checkpoint.pure_sequence import Heat
from graphmem.ir.recompute import Recompute

WAVES = 5
FIRST_ROUNDS = 200  # moves per operation in a run of the first wave; each wave doubles them
LEAST_ROUNDS = 10_000
FEW = 150
WORK = 8_000_000_000  # moves of one run times operations at most: a move in a greater question costs more
CLOSE = 2e-5  # of the total cost: nearer to the bound than this there is nothing worth searching for
GAIN = 1e-4  # of the total cost: a wave that gains less is idle
IDLE = 2  # idle waves in a row that end a search
THREADS = 2


BEST, NEAREST, OUTSIDE = "the best so far", "the least over the budget", "the first over the budget by peak * cost"


@dataclass(frozen=True, slots=True)
class Recipe:
    """From what a run starts (the last two as they were before the search), and how it cools; `hot`, `cold` in parts of the total cost, `weight` in those per budget of bytes."""

    start: str
    hot: float
    cold: float
    weight: float
    adds: int = 45
    removes: int = 25


EVEN = (
    Recipe(BEST, 1e-4, 1e-6, 0.05),
    Recipe(NEAREST, 1e-4, 1e-6, 0.05),
    Recipe(BEST, 3e-4, 1e-6, 0.5, 55, 25),
    Recipe(OUTSIDE, 3e-3, 1e-5, 0.5, 55, 25),
)
ODD = (
    Recipe(BEST, 3e-5, 1e-6, 0.5),
    Recipe(OUTSIDE, 3e-3, 1e-5, 0.05),
    Recipe(BEST, 1e-3, 1e-6, 0.5, 55, 25),
    Recipe(OUTSIDE, 3e-3, 1e-5, 2.0, 55, 25),
)
FREE = (
    Recipe(OUTSIDE, 1e-1, 1e-4, 0.05, 0, 0),  # order alone
    Recipe(BEST, 1e-3, 1e-5, 0.05, 30, 15),
    Recipe(OUTSIDE, 1e-2, 1e-5, 0.05, 30, 15),
    Recipe(BEST, 3e-2, 1e-5, 0.05, 30, 15),
)


@dataclass
class Annealer:
    """Runs of the sequence search for one question; whatever they find is offered to the archive."""

    kernel: Kernel
    archive: Archive
    deadline: float = float("inf")
    outside: Proposal | None = None
    nearest: Proposal | None = None

    def search(self, budget: int, enough: int, progress: Callable[[str], None] = lambda _: None) -> None:
        """Waves of runs until a cost of `enough` is reached, a wave gains nothing, or time is up."""
        self.outside, self.nearest = self.archive.above(budget), self.archive.next_above(budget)
        total, idle, spent = self.kernel.question.total_cost, 0, 0.0
        for wave in range(WAVES):
            best = self.archive.within(budget)
            done = best is not None and best.cost - enough <= CLOSE * total
            if done or idle == IDLE or monotonic() + spent / 4 > self.deadline:
                return
            started = monotonic()
            self._wave(wave, (EVEN, ODD)[wave % 2] if self.kernel.question.keep_order else FREE, budget)
            spent = monotonic() - started
            now = self.archive.within(budget)
            progress(f"wave {wave + 1}: " + ("nothing within the budget" if now is None else f"cost {now.cost}"))
            gained = now is not None and (best is None or best.cost - now.cost >= GAIN * total)
            idle = 0 if gained or now is None else idle + 1

    def _wave(self, wave: int, recipes: Sequence[Recipe], budget: int) -> None:
        size = len(self.kernel.question)
        rounds = max(LEAST_ROUNDS, FIRST_ROUNDS * size * max(350, size) // 350) << wave
        rounds = min(WORK // (500 + size), rounds)
        runs = [(self._start(recipe, budget), recipe, wave * len(recipes) + i + 1) for i, recipe in enumerate(recipes)]
        stop = np.zeros(1, dtype=np.int64)
        with ThreadPoolExecutor(THREADS) as pool:
            try:
                futures = [
                    pool.submit(self._run, start, recipe, rounds, budget, seed, stop) for start, recipe, seed in runs
                ]
                wait(futures, None if self.deadline == float("inf") else max(0.0, self.deadline - monotonic()))
            finally:  # in time, or interrupted
                stop[0] = 1
        self._offer(future.result()[0] for future in futures)

    def _start(self, recipe: Recipe, budget: int) -> Sequence[int]:
        inside = self.archive.within(budget)
        wanted = {BEST: inside, NEAREST: self.nearest, OUTSIDE: self.outside}[recipe.start]
        start = wanted or self.outside or inside
        assert start is not None
        return start.order

    def run(self, start: Sequence[int], recipe: Recipe, rounds: int, budget: int, seed: int) -> bool:
        """One run from `start`; whether it ended within the budget."""
        order, fits = self._run(start, recipe, rounds, budget, seed)
        self._offer([order])
        return fits

    def _run(
        self,
        start: Sequence[int],
        recipe: Recipe,
        rounds: int,
        budget: int,
        seed: int,
        stop: NDArray[np.int64] | None = None,
    ) -> tuple[list[int], bool]:
        total = max(1, self.kernel.question.total_cost)
        few = max(1.0, FEW / max(1, len(self.kernel.question)))  # each of few operations is a greater part of the total
        heat = Heat(
            hot=recipe.hot * few * total,
            cold=recipe.cold * few * total,
            weight=recipe.weight * total / max(1, budget),
            rounds=rounds,
            adds=recipe.adds,
            removes=recipe.removes,
        )
        return self.kernel.sequence(_trimmed(self.kernel.question, start), budget, heat, seed, stop)

    def _offer(self, orders: Iterable[Sequence[int]]) -> None:
        for order in orders:
            peak, cost = self.kernel.measure(order)
            self.archive.offer(peak, cost, "annealing", lambda order=order: order)  # type: ignore[misc]


def _trimmed(question: Recompute, order: Sequence[int]) -> Sequence[int]:
    """The order without the latest computations of values that it computes more than INSTANCES times."""
    seen = [0] * len(question)
    kept = []
    for value in order:
        seen[value] += 1
        if seen[value] <= INSTANCES:
            kept.append(value)
    return kept
