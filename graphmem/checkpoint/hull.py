"""Moment -> proposals: every choice on the hull of the minimum cuts, and mixtures of two of them.

A mixture takes one choice for the values before some operation and another for those after it: early values live
longest, so dropping more of them than of late ones is often what a budget asks for. Ten choices give hundreds of
courses.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from graphmem.checkpoint.archive import Archive
from graphmem.checkpoint.kernel import Kernel
from graphmem.checkpoint.mincut import Moment
from graphmem.ir.recompute import Recompute

HULL = 40  # choices on the hull
PLACES = 12  # places at which two choices change over
NEIGHBOURS = 4  # how far apart on the hull they are at most

Mask = NDArray[np.bool_]


def moment_of(question: Recompute, live: NDArray[np.int64] | None = None) -> Moment:
    """The start of the backward pass, or without one the operation at which most bytes are alive."""
    stage = question.first_backward
    if stage == len(question) and live is not None and live.size:
        stage = int(live.argmax())
    return Moment(question, stage)


def propose(kernel: Kernel, moment: Moment, archive: Archive, deadline: float) -> list[Mask]:
    """Offer the hull and its mixtures; the hull's choices, as masks of what is computed again."""
    hull = [_mask(len(kernel.question), cut.again) for cut in moment.hull(HULL, deadline)]
    for mask in hull:
        offer(kernel, moment.stage, mask, archive, "min-cut")
    for mask in mixtures(hull, moment.stage):
        if monotonic() > deadline:
            break
        offer(kernel, moment.stage, mask, archive, "min-cut mixture")
    return hull


def offer(kernel: Kernel, stage: int, again: Mask, archive: Archive, strategy: str) -> int | None:
    """Offer the course that drops the values of a mask at `stage`; its peak."""
    cut = np.where(again, stage, len(kernel.question))
    found = kernel.states(cut, np.zeros_like(cut))
    if found is None:
        return None
    order, peak, cost = found
    archive.offer(peak, cost, strategy, order.tolist)
    return peak


def mixtures(hull: list[Mask], stage: int) -> Iterator[Mask]:
    """One choice before a place, another from it on."""
    places = sorted({stage * part // PLACES for part in range(1, PLACES)})
    for i, first in enumerate(hull):
        for j, second in enumerate(hull):
            if i == j or abs(i - j) > NEIGHBOURS:
                continue
            for place in places:
                mixed = second.copy()
                mixed[:place] = first[:place]
                yield mixed


def close_in(
    kernel: Kernel, moment: Moment, hull: list[Mask], archive: Archive, budget: int, deadline: float = float("inf")
) -> None:
    """For every pair of choices on either side of the budget, bisect the place at which their mixture just fits."""
    for i, first in enumerate(hull):
        for j, second in enumerate(hull):
            if i != j and abs(i - j) <= NEIGHBOURS and monotonic() < deadline:
                _bisect(kernel, moment.stage, (first, second), archive, budget)


def _bisect(kernel: Kernel, stage: int, pair: tuple[Mask, Mask], archive: Archive, budget: int) -> None:
    low, high = 0, stage
    ends = []
    for place in (low, high):
        peak = offer(kernel, stage, _mixed(pair, place), archive, "min-cut mixture")
        ends.append(peak is not None and peak <= budget)
    if ends[0] == ends[1]:
        return
    while high - low > 1:
        middle = (low + high) // 2
        peak = offer(kernel, stage, _mixed(pair, middle), archive, "min-cut mixture")
        fits = peak is not None and peak <= budget
        low, high = (middle, high) if fits == ends[0] else (low, middle)


def _mixed(pair: tuple[Mask, Mask], place: int) -> Mask:
    mixed: Mask = pair[1].copy()
    mixed[:place] = pair[0][:place]
    return mixed


def _mask(size: int, chosen: frozenset[int]) -> Mask:
    mask = np.zeros(size, dtype=np.bool_)
    mask[list(chosen)] = True
    return mask
