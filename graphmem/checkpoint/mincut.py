"""Recompute -> proposals at one moment: choices of what to save, on the hull of bytes against cost, by minimum cuts.

At the moment before operation `stage`, every value computed so far that is still needed is either saved or computed
again from values that are saved or computed again. For a price per byte, the cheapest choice is a minimum cut:

    source --cost--> (v in) --price * bytes--> (v out) --infinite--> sink        v out -> sink when v is needed
                     (u out) --infinite--> (v in)                                v reads u

(v in) on the sink's side means computed again, only (v out) means saved. The price from 0 to infinity walks the lower
convex hull of (bytes, cost): exactly the plans that are best for some price (Eisner and Severance 1976).

Proposed are every choice on the hull and mixtures of two. A mixture takes one choice for the values before some
operation and another for those after it: early values live longest, so dropping more of them than of late ones is often
what a budget asks for. Ten choices give hundreds of courses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from graphmem.checkpoint.archive import Archive
from graphmem.checkpoint.kernel import Kernel
from graphmem.ir.errors import OptionError
from graphmem.ir.recompute import Recompute

_INFINITE = 2**30  # scipy's maximum flow counts in int32
_TOTAL = 2**30 - 1  # what all finite capacities add up to at most, so that no flow overflows


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A choice on the hull: what to compute again, what to save, and the sums of either.

    `value` is a lower bound on cost + price * bytes of every choice (capacities are rounded down).
    """

    again: frozenset[int]
    saved: frozenset[int]
    nbytes: int
    cost: int
    price: float
    value: float


@dataclass(frozen=True)
class Moment:
    """The question at the moment before operation `stage`; `held` values are saved whatever they cost."""

    question: Recompute
    stage: int
    held: frozenset[int] = frozenset()

    @cached_property
    def needed(self) -> tuple[int, ...]:
        """Values computed before the stage that an operation from the stage on reads."""
        readers = self.question.readers
        return tuple(v for v in range(self.stage) if readers[v] and readers[v][-1] >= self.stage)

    @cached_property
    def _arcs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tails and heads, v in = 2 v, v out = 2 v + 1: source arcs, then saving arcs, then the infinite ones."""
        n = self.stage
        source, sink = 2 * n, 2 * n + 1
        each = np.arange(n, dtype=np.int64)
        reads = [(2 * u + 1, 2 * v) for v in range(n) for u in self.question.reads[v]]
        rest = np.array([*reads, *((2 * v + 1, sink) for v in self.needed)], dtype=np.int64).reshape(-1, 2)
        tails = np.concatenate([np.full(n, source), 2 * each, rest[:, 0]])
        heads = np.concatenate([2 * each, 2 * each + 1, rest[:, 1]])
        return tails, heads

    def cut(self, price: float) -> Cut:
        """The cheapest choice when a saved byte costs `price`."""
        n, (tails, heads) = self.stage, self._arcs
        operations = self.question.operations
        cost = np.array([o.cost for o in operations[:n]], dtype=np.float64)
        room = np.array([0 if v in self.held else o.nbytes for v, o in enumerate(operations[:n])]) * price
        pinned = np.array([o.pinned for o in operations[:n]], dtype=bool)
        unit = max((cost.sum() + room.sum()) / _TOTAL, 1e-300)
        finite = np.floor(np.concatenate([np.where(pinned, _INFINITE * unit, cost), room]) / unit)
        capacity = np.concatenate([finite, np.full(len(tails) - 2 * n, _INFINITE)]).astype(np.int32)
        flow, reached = _source_side(tails, heads, capacity, 2 * n + 2)
        again = frozenset(v for v in range(n) if not reached[2 * v])
        saved = frozenset(v for v in range(n) if reached[2 * v] and not reached[2 * v + 1]) | self.held
        nbytes = sum(operations[v].nbytes for v in saved)
        held = sum(operations[v].nbytes for v in self.held)
        return Cut(again, saved, nbytes, sum(operations[v].cost for v in again), price, flow * unit + price * held)

    def free(self) -> Cut:
        """The choice of least bytes among those of least cost, as near as rounding tells."""
        return self.cut(self._scale() / 1000)

    def dearest(self) -> Cut:
        """The choice of least cost among those of least bytes, likewise."""
        return self.cut(self._scale() * 100)

    def hull(self, most: int, deadline: float = float("inf")) -> list[Cut]:
        """At most `most` choices on the hull, from saving everything to saving least; fewer when time is up."""
        return sorted(self._between(self.free(), self.dearest(), most, deadline), key=lambda c: (-c.nbytes, c.cost))

    def _scale(self) -> float:
        """The price at which all bytes cost as much as all operations."""
        nbytes = sum(operation.nbytes for operation in self.question.operations[: self.stage])
        return max(self.question.total_cost, 1) / max(nbytes, 1)

    def _between(self, keep: Cut, least: Cut, most: int, deadline: float) -> Iterator[Cut]:
        found = {(keep.nbytes, keep.cost): keep, (least.nbytes, least.cost): least}
        queue = [(keep, least)]
        while queue and len(found) < most and monotonic() < deadline:
            queue.sort(key=lambda pair: (pair[1].cost - pair[0].cost) * (pair[0].nbytes - pair[1].nbytes))
            high, low = queue.pop()
            if high.nbytes <= low.nbytes or low.cost <= high.cost:
                continue
            middle = self.cut((low.cost - high.cost) / (high.nbytes - low.nbytes))
            if (middle.nbytes, middle.cost) not in found and low.nbytes < middle.nbytes < high.nbytes:
                found[middle.nbytes, middle.cost] = middle
                queue += [(high, middle), (middle, low)]
        return iter(found.values())


def _source_side(
    tails: NDArray[np.int64], heads: NDArray[np.int64], capacity: NDArray[np.int32], size: int
) -> tuple[int, NDArray[np.bool_]]:
    """(maximum flow, nodes that the source still reaches) in a network whose last two nodes are source and sink."""
    try:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import breadth_first_order, maximum_flow
    except ImportError as error:
        raise OptionError("the minimum cuts need SciPy; install it with: pip install 'graphmem[checkpoint]'") from error
    sink = size - 1
    network = csr_array((capacity, (tails, heads)), shape=(size, size), dtype=np.int32)
    found = maximum_flow(network, sink - 1, sink)
    residual = network - found.flow
    residual.data = (residual.data > 0).astype(np.int8)
    residual.eliminate_zeros()
    reached = np.zeros(size, dtype=np.bool_)
    reached[breadth_first_order(residual, sink - 1, return_predecessors=False)] = True
    return int(found.flow_value), reached


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
