"""Budget -> proposals: annealing of whole sequences of computations, as a tournament of starts and heats.

A move adds a computation before a read (and perhaps of its sources before it), removes one (and sources that nobody
reads any more), or shifts one; in free order also a first one. The energy is cost + weight * bytes over the budget,
summed over the steps; the weight follows the share of time spent within the budget.

Where a run ends depends most on where it starts and how hot, and no rule tells beforehand. So many short runs begin at
courses all along the archive; the better half is run again twice as long, beside runs that go on from the best so far.
Every run has its own seed and its own count of moves, so that the result does not depend on how many run at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from graphmem.checkpoint.archive import Archive
from graphmem.checkpoint.kernel import INSTANCES, Kernel
from graphmem.checkpoint.pure import Heat
from graphmem.ir.recompute import Recompute

LEAST_ROUNDS = 10_000
WORK = 6e11  # of a search: moves times their cost, which grows with the operations and the square of their reads
FEW = 150
CLOSE = 2e-5  # of the total cost: nearer to the bound than this there is nothing worth searching for
FAR = 5e-3  # nearer to the bound than this the first waves suffice
FIRST = 4
IDLE = 2  # waves in a row without gain that end a search
THREADS = 2


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a run cools; `hot`, `cold` in parts of the total cost, `weight` in those per budget of bytes."""

    hot: float
    cold: float
    weight: float
    adds: int = 55
    removes: int = 25


@dataclass(frozen=True, slots=True)
class Tournament:
    """`starts` courses times `heats` play the first wave; `places[k]` of them wave k. `further` run from the best."""

    starts: int
    places: tuple[int, ...]
    rounds: int  # moves per operation in a run of the first wave; every wave is twice as long
    heats: tuple[Recipe, ...]
    further: tuple[tuple[Recipe, ...], tuple[Recipe, ...]]  # in waves 0, 2, 4 ... and 1, 3, 5 ...


KEPT = Tournament(
    starts=8,
    places=(24, 6, 3, 2, 2, 2, 2),
    rounds=60,
    heats=(Recipe(1e-4, 1e-6, 0.5), Recipe(1e-3, 3e-6, 0.5), Recipe(3e-3, 1e-5, 0.5)),
    further=(
        (Recipe(1e-4, 1e-6, 0.05, 45), Recipe(3e-4, 1e-6, 0.5)),
        (Recipe(3e-5, 1e-6, 0.5, 45), Recipe(1e-3, 1e-6, 0.5)),
    ),
)
FREE = Tournament(
    starts=1,
    places=(2, 2, 2, 2),
    rounds=300,
    heats=(Recipe(1e-1, 1e-4, 0.05, 0, 0), Recipe(1e-2, 1e-5, 0.05, 30, 15)),  # the first one: order alone
    further=((Recipe(1e-3, 1e-5, 0.05, 30, 15), Recipe(3e-2, 1e-5, 0.05, 30, 15)),) * 2,
)


@dataclass(frozen=True, slots=True)
class Run:
    """Where a run starts and how it cools."""

    start: Sequence[int]
    recipe: Recipe


@dataclass
class Annealer:
    """Runs of the sequence search for one question; whatever they find is offered to the archive."""

    kernel: Kernel
    archive: Archive
    deadline: float = float("inf")
    seed: int = 0

    def search(self, budget: int, enough: int, progress: Callable[[str], None] = lambda _: None) -> None:
        """Tournaments until a cost of `enough` is reached, nothing is gained, the work is done or time is up."""
        question = self.kernel.question
        total, size = question.total_cost, len(question)
        rules = KEPT if question.keep_order else FREE
        rounds = max(LEAST_ROUNDS, rules.rounds * size * max(1500, size) // 1000)
        left, idle = WORK / _cost_of_a_move(question), 0
        field = [Run(start, recipe) for start in self._starts(budget, rules.starts) for recipe in rules.heats]
        for wave, places in enumerate(rules.places):
            best = self.archive.within(budget)
            gap = float("inf") if best is None else (best.cost - enough) / max(1, total)
            if gap <= (CLOSE if wave < FIRST else FAR) or idle == IDLE or monotonic() > self.deadline:
                return
            on = [] if best is None else [Run(best.order, recipe) for recipe in rules.further[wave % 2]]
            runs = [*on, *field[:places]]
            long = min(rounds << wave, int(left / len(runs)))
            if long < LEAST_ROUNDS:
                return
            left -= long * len(runs)
            ranks = self._play(runs, long, budget)[len(on) :]
            field = [field[i] for i in sorted(range(len(ranks)), key=lambda i: (ranks[i], i))]
            now = self.archive.within(budget)
            idle = 0 if now is None or best is None or now.cost < best.cost else idle + 1
            progress(f"wave {wave + 1}: " + ("nothing within the budget" if now is None else f"cost {now.cost}"))

    def _starts(self, budget: int, most: int) -> list[Sequence[int]]:
        """The course over the budget of least peak * cost, and others all along the archive."""
        over = [proposal for proposal in self.archive if proposal.peak > budget] or [self.archive.least]
        places = sorted({i * (len(over) - 1) // most for i in range(most)})
        nearest = self.archive.above(budget) or over[0]
        return [nearest.order, *(over[i].order for i in places if over[i] is not nearest)][:most]

    def _play(self, runs: Sequence[Run], rounds: int, budget: int) -> list[tuple[bool, int]]:
        """(misses the budget, cost) of the end of every run."""
        stop = np.zeros(1, dtype=np.int64)
        seeds = range(self.seed + 1, self.seed + 1 + len(runs))
        self.seed += len(runs)
        with ThreadPoolExecutor(THREADS) as pool:
            try:
                futures = [
                    pool.submit(self._run, run, rounds, budget, seed, stop)
                    for run, seed in zip(runs, seeds, strict=True)
                ]
                wait(futures, None if self.deadline == float("inf") else max(0.0, self.deadline - monotonic()))
            finally:  # in time, or interrupted
                stop[0] = 1
            ends = [future.result() for future in futures]
        costs = self._offer(order for order, _ in ends)
        return [(not fits, cost) for (_, fits), cost in zip(ends, costs, strict=True)]

    def run(self, start: Sequence[int], recipe: Recipe, rounds: int, budget: int, seed: int) -> bool:
        """One run from `start`; whether it ended within the budget."""
        order, fits = self._run(Run(start, recipe), rounds, budget, seed, np.zeros(1, dtype=np.int64))
        self._offer([order])
        return fits

    def _run(
        self, run: Run, rounds: int, budget: int, seed: int, stop: NDArray[np.int64]
    ) -> tuple[Sequence[int], bool]:
        if stop[0]:
            return run.start, False
        total = max(1, self.kernel.question.total_cost)
        few = max(1.0, FEW / max(1, len(self.kernel.question)))  # each of few operations is a greater part of the total
        heat = Heat(
            hot=run.recipe.hot * few * total,
            cold=run.recipe.cold * few * total,
            weight=run.recipe.weight * total / max(1, budget),
            rounds=rounds,
            adds=run.recipe.adds,
            removes=run.recipe.removes,
        )
        return self.kernel.sequence(_trimmed(self.kernel.question, run.start), budget, heat, seed, stop)

    def _offer(self, orders: Iterable[Sequence[int]]) -> list[int]:
        costs = []
        for order in orders:
            peak, cost = self.kernel.measure(order)
            self.archive.offer(peak, cost, "annealing", lambda order=order: order)  # type: ignore[misc]
            costs.append(cost)
        return costs


def _cost_of_a_move(question: Recompute) -> float:
    """In units of WORK."""
    reads = 1 + sum(map(len, question.reads)) / max(1, len(question))
    return reads * reads * (700 + len(question))


def _trimmed(question: Recompute, order: Sequence[int]) -> Sequence[int]:
    """The order without the latest computations of values that it computes more than INSTANCES times."""
    seen = [0] * len(question)
    kept = []
    for value in order:
        seen[value] += 1
        if seen[value] <= INSTANCES:
            kept.append(value)
    return kept
