"""Archive: of all courses proposed so far, those that no other beats in both peak and cost."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Proposal:
    """An order of computations, with the peak and cost that its strategy claims; the evaluator checks them later."""

    peak: int
    cost: int
    strategy: str
    order: Sequence[int]


@dataclass(slots=True)
class Archive:
    """Proposals by ascending peak, and so by descending cost. Of two equals the first stays."""

    _peaks: list[int] = field(default_factory=list)
    _proposals: list[Proposal] = field(default_factory=list)

    def __iter__(self) -> Iterator[Proposal]:
        return iter(self._proposals)

    def __len__(self) -> int:
        return len(self._proposals)

    def offer(self, peak: int, cost: int, strategy: str, order: Callable[[], Sequence[int]]) -> bool:
        """Take the proposal in unless another has at most its peak and its cost; whether it was taken."""
        at = bisect_left(self._peaks, peak + 1)
        if at and self._proposals[at - 1].cost <= cost:
            return False
        first = bisect_left(self._peaks, peak)
        last = first
        while last < len(self._proposals) and self._proposals[last].cost >= cost:
            last += 1
        self._peaks[first:last] = [peak]
        self._proposals[first:last] = [Proposal(peak, cost, strategy, order())]
        return True

    def within(self, budget: int) -> Proposal | None:
        """The cheapest proposal whose peak is at most `budget`."""
        at = bisect_left(self._peaks, budget + 1)
        return self._proposals[at - 1] if at else None

    def above(self, budget: int) -> Proposal | None:
        """Of the proposals over the budget the one nearest to it by peak * cost."""
        at = bisect_left(self._peaks, budget + 1)
        return min(self._proposals[at:], key=lambda p: (p.peak * p.cost, p.peak), default=None)

    @property
    def least(self) -> Proposal:
        """The proposal of the least peak."""
        return self._proposals[0]
