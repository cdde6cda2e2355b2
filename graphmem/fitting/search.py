"""(batch -> bytes, capacity) -> Largest: the greatest batch that fits, each step evaluated and none extrapolated.

bytes │               x refused        needs are close to a line: the next batch tried is where the line through
──────┼──────────── / ──── capacity    the ends of the bracket crosses the capacity; every second try halves the
      │      x fits                    bracket, so that steps and plateaus of an allocator cannot stall it
      └──────────────── batch
"""

from __future__ import annotations

from collections.abc import Callable

from graphmem.ir.fit import Largest

LIMIT = 1 << 20  # batches beyond are not asked about
GROWTH = 16  # most that one step goes up while nothing has been refused yet


def largest_batch(need: Callable[[int], int], capacity: int, guess: int = 8, beyond: int = 0) -> Largest:
    """The largest batch found whose need is within `capacity`; the batch after it was evaluated and is not.

    `need` is evaluated anew for every batch looked at (cache it). Needs may fall a little as the batch grows, as what
    an allocator reserves does: up to `beyond` batches after a refused one are tried too.
    """
    if need(1) > capacity:
        return Largest(0, 1)
    bracket = _bracket(need, capacity, guess)
    if bracket is None:
        return Largest(LIMIT, None)
    fits, refused = _narrowed(need, capacity, *bracket)
    later = [b for b in range(refused + 1, min(refused + 1 + beyond, LIMIT)) if need(b) <= capacity]
    fits = max([fits, *later])
    while need(fits + 1) <= capacity:
        fits += 1
    return Largest(fits, fits + 1)


def _bracket(need: Callable[[int], int], capacity: int, guess: int) -> tuple[int, int] | None:
    """(a batch that fits, a greater one that does not), or None when LIMIT fits."""
    fits, batch = 1, max(2, guess)
    while need(batch) <= capacity:
        if batch >= LIMIT:
            return None
        slope = (need(batch) - need(fits)) / (batch - fits)
        crossing = int(batch + (capacity - need(batch)) / slope) + 1 if slope > 0 else LIMIT
        fits, batch = batch, min(max(batch + 1, crossing), batch * GROWTH, LIMIT)
    return fits, batch


def _narrowed(need: Callable[[int], int], capacity: int, fits: int, refused: int) -> tuple[int, int]:
    """The bracket closed to two neighbours."""
    halving = False
    while refused - fits > 1:
        low, high = need(fits), need(refused)
        batch = fits + int((capacity - low) * (refused - fits) / (high - low)) if not halving else (fits + refused) // 2
        batch = min(max(batch, fits + 1), refused - 1)
        before = refused - fits
        if need(batch) <= capacity:
            fits = batch
        else:
            refused = batch
        halving = not halving and (refused - fits) * 2 > before
    return fits, refused


def doubled_batch(need: Callable[[int], int], capacity: int, start: int, most: int = 6) -> Largest:
    """The same, looked at in doublings of `start` only: the largest is at least `batch` and below `refused`."""
    fits, batch = 0, max(1, start)
    for _ in range(most):
        if need(batch) > capacity:
            return Largest(fits, batch)
        fits, batch = batch, batch * 2
    return Largest(fits, None)
