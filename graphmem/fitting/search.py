"""(batch -> bytes, capacity) -> Largest: the greatest batch that fits, each step evaluated and none extrapolated.

bytes │               x refused        needs are close to a line: the next batch tried is where the line through
──────┼──────────── / ──── capacity    the ends of the bracket crosses the capacity; while one end alone moves, it
│      x fits                    moves by 1, 2, 4, ... at least, so that steps and plateaus cannot stall it
└──────────────── batch
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from graphmem.ir.fit import Largest

LIMIT = 1 << 20  # batches beyond are not asked about
RUNGS = (1, 1.1, 1.25, 1.5, 2, 3, 4, 6, 8, 12, 16)
RESTARTS = 16  # a batch beyond a refused one fits again, and the search goes on from there
GROWTH = 16  # most that one step goes up while nothing has been refused yet


@dataclass(slots=True)
class Bracket:
    """The greatest batch known to fit (0: none yet), the least known not to, and how often one end moved alone."""

    need: Callable[[int], int]
    capacity: int
    slope: float
    fits: int = 0
    refused: int | None = None
    tries: int = 0
    moves: int = 0  # of the upper end in a row when positive, of the lower when negative

    def try_(self, batch: int) -> None:
        """Evaluate a batch inside of the bracket."""
        before, was = (self.fits, self.need(self.fits)) if self.fits else (0, 0)
        now = self.need(batch)
        if now <= self.capacity:
            self.slope = max((now - was) / (batch - before), self.slope / 2) if before else self.slope  # no plateaus
            self.fits, self.moves = batch, min(self.moves, 0) - 1
        else:
            self.refused, self.moves = batch, max(self.moves, 0) + 1

    def next(self) -> int:
        """The batch to try; every third one halves the bracket, whatever the needs look like."""
        self.tries += 1
        if self.tries % 3 == 0:
            return min(2 * self.fits, LIMIT) if self.refused is None else (self.fits + self.refused) // 2
        if self.refused is None:
            spare = self.capacity - self.need(self.fits)
            crossing = self.fits + int(spare / self.slope) if self.slope > 0 else LIMIT
            return min(max(self.fits + 1, crossing), self.fits * GROWTH, LIMIT)
        least = 1 << (abs(self.moves) - 1)
        if not self.fits:
            over = self.need(self.refused) - self.capacity
            return max(1, self.refused - max(least, -int(-over // self.slope) if self.slope > 0 else self.refused))
        low, high = self.need(self.fits), self.need(self.refused)
        batch = self.fits + int((self.capacity - low) * (self.refused - self.fits) / (high - low))
        batch = min(batch, self.refused - least) if self.moves > 0 else max(batch, self.fits + least)
        return min(max(batch, self.fits + 1), self.refused - 1)


def largest_batch(
    need: Callable[[int], int], capacity: int, guess: int = 8, beyond: int = 0, slope: float | None = None
) -> Largest:
    """The largest batch found whose need is within `capacity`; the batch after it was evaluated and is not.

    `need` is evaluated anew for every batch looked at (cache it). `slope` is what one more sample is thought to need;
    without it batch 1 is looked at first. Needs may fall a little as the batch grows, as what an allocator reserves
    does: up to `beyond` batches after a refused one are tried too.
    """
    bracket = Bracket(need, capacity, slope or 0.0)
    guess = min(max(1, guess), LIMIT)
    if slope is None:
        bracket.try_(1)
        bracket.slope = max(0.0, (need(guess) - need(1)) / (guess - 1)) if guess > 1 else float(need(1))
    if bracket.refused is None and guess > bracket.fits:
        bracket.try_(guess)
    for restarts in range(RESTARTS + 1):
        while bracket.refused is None or bracket.refused - bracket.fits > 1:
            if bracket.fits >= LIMIT:
                return Largest(LIMIT, None)
            bracket.try_(bracket.next())
        asks_on = bracket.fits and restarts < RESTARTS
        further = range(bracket.refused + 1, bracket.refused + 1 + beyond) if asks_on else ()
        better = [batch for batch in further if need(batch) <= capacity]
        if not better:
            break
        bracket.fits, bracket.refused, bracket.moves = better[-1], None, 0
    return Largest(bracket.fits, bracket.fits + 1)


def rung_batch(need: Callable[[int], int], capacity: int, start: int, slope: float) -> Largest:
    """The same, looked at on the rungs of a ladder above `start` only: the largest is between `batch` and `refused`."""
    rungs = sorted({int(max(1, start) * part) for part in RUNGS})
    spare = capacity - need(rungs[0])
    at = max([0, *(i for i, rung in enumerate(rungs) if (rung - rungs[0]) * slope <= spare)])
    while at >= 0 and need(rungs[at]) > capacity:
        at -= 1
    while at + 1 < len(rungs) and need(rungs[at + 1]) <= capacity:
        at += 1
    return Largest(rungs[at] if at >= 0 else 0, rungs[at + 1] if at + 1 < len(rungs) else None)
