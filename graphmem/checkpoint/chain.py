"""Chain, budget -> the course of least cost among persistent ones: dynamic programming, as rotor does it.

A chain computes f_0 ... f_n one from the other, and then the gradients g_n ... g_0; g_i reads f_i-1, f_i and g_i+1.

    cost(s, t, m, kept) = what g_t ... g_s cost with m bytes, from f_s-1, which stays; g_t+1 is there, and f_t if kept
      s = t               f_t is computed unless kept
      s <= k < t          f_s ... f_k are computed, each letting go of the one before;
                          cost(k + 1, t, m - f_k, kept), and then, with f_k still there or not, cost(s, k, m, yes or no)

Sizes and costs differ from value to value (heterogeneous). A value that is stored stays until the gradients above it
are done: persistent, as in Beaumont, Eyraud-Dubois, Herrmann, Joly and Shilova (INRIA RR-9302, arXiv
1911.13214). Bytes are counted in slots and rounded up, so that the course fits; it is the best of its kind where the
budget has no more units than slots.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import gcd

import numpy as np
from numpy.typing import NDArray

from graphmem.checkpoint.archive import Archive
from graphmem.checkpoint.kernel import Kernel
from graphmem.ir.recompute import Recompute

LONGEST = 64  # values of a chain that is solved in passing, in a second; the time grows with their number
SLOTS = 4096
ROOM = 20_000_000  # entries of a table: long chains get fewer slots
Table = NDArray[np.float64]


def stages_of(question: Recompute) -> int | None:
    """How many values the chain has that the question is; None when it is none."""
    count = question.first_backward
    if not question.keep_order or not count or len(question) != 2 * count:
        return None
    if any(operation.pinned for operation in question.operations):
        return None
    for i in range(count):
        gradient = 2 * count - 1 - i
        beside = {gradient - 1} if i < count - 1 else set()
        if question.reads[i] != ((i - 1,) if i else ()):
            return None
        if not beside <= {*question.reads[gradient]} <= {*beside, i, *((i - 1,) if i else ())}:
            return None
    return count


@dataclass(frozen=True)
class Chain:
    """The tables of one chain and budget; `count` as `stages_of` tells."""

    question: Recompute
    count: int
    budget: int

    @cached_property
    def _bytes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of f_0 ... and of g_0 ..., with 0 for the g above the last."""
        sizes = np.array([operation.nbytes for operation in self.question.operations], dtype=np.int64)
        return sizes[: self.count], np.append(sizes[self.count :][::-1], 0)

    @cached_property
    def _unit(self) -> int:
        room = max(1, self.budget - self.question.resident)
        common = max(1, gcd(*(operation.nbytes for operation in self.question.operations)))
        slots = min(SLOTS, max(32, ROOM // self.count**2))
        if room // common < slots:
            return common
        low = -(-room // (slots - 1))
        sizes = np.unique([operation.nbytes for operation in self.question.operations if operation.nbytes >= low])
        every = [
            low,
            *(-(-int(size) // parts) for size in (room, *sizes) for parts in {size // low, size // (2 * low)} - {0}),
        ]
        units: list[int] = sorted({unit for unit in every if low <= unit <= 2 * low})
        loss = [int((-sizes % unit).sum()) + room % unit for unit in units]
        return units[loss.index(min(loss))]

    @cached_property
    def _slots(self) -> int:
        return max(0, self.budget - self.question.resident) // self._unit + 1

    @cached_property
    def _way(self) -> NDArray[np.int64]:
        """[s, k]: the bytes of walking from f_s-1 to f_k, f_s-1 not counted."""
        size, n = self._bytes[0], self.count
        way = np.zeros((n, n), dtype=np.int64)
        for s in range(n):
            pair = size[s:] + np.concatenate([[0], size[s:-1]])
            way[s, s:] = np.maximum.accumulate(pair)
        return way

    @cached_property
    def _prices(self) -> NDArray[np.float64]:
        """The cost of f_0 ... f_i-1."""
        costs = [operation.cost for operation in self.question.operations[: self.count]]
        return np.concatenate([[0.0], np.cumsum(costs, dtype=np.float64)])

    @cached_property
    def _tables(self) -> tuple[list[Table], list[Table]]:
        """[kept][t - s][s, m]."""
        n = self.count
        tables: tuple[list[Table], list[Table]] = ([self._last(0)], [self._last(1)])
        moved = ([self._moved(tables[0][0])], [self._moved(tables[1][0])])
        either = [np.minimum(tables[0][0], tables[1][0])]
        for length in range(1, n):
            for kept in (0, 1):
                best = np.full((n - length, self._slots), np.inf)
                for first in range(length):  # k - s
                    upper = moved[kept][length - first - 1][first + 1 :]
                    cost = upper + either[first][: n - length]
                    cost += self._walk(first, n - length)[:, None]
                    np.copyto(cost, np.inf, where=self._too_small(first, length, kept))
                    np.minimum(best, cost, out=best)
                tables[kept].append(best)
                moved[kept].append(self._moved(best))
            either.append(np.minimum(tables[0][length], tables[1][length]))
        return tables

    def _last(self, kept: int) -> Table:
        """Where s = t."""
        size, gradient = self._bytes
        needs = self._in_slots(size + gradient[:-1] + gradient[1:])
        cost = np.zeros(self.count) if kept else np.diff(self._prices)
        return np.where(np.arange(self._slots)[None, :] >= needs[:, None], cost[:, None], np.inf)

    def _moved(self, table: Table) -> Table:
        """[s, m] -> [s, m - f_s-1]: with the value that the segment starts from counted in."""
        out = np.full_like(table, np.inf)
        size = self._in_slots(self._bytes[0])
        for s in range(1, len(table)):
            by = int(size[s - 1])
            if by < self._slots:
                out[s, by:] = table[s, : self._slots - by]
        return out

    def _walk(self, first: int, many: int) -> NDArray[np.float64]:
        return self._prices[first + 1 : first + 1 + many] - self._prices[:many]

    def _too_small(self, first: int, length: int, kept: int) -> NDArray[np.bool_]:
        """[s, m]: where walking to f_s+first does not fit beside g_t+1 and f_t."""
        s = np.arange(self.count - length)
        needs = self._in_slots(self._way[s, s + first] + self._beside(s + length, kept))
        return np.asarray(np.arange(self._slots)[None, :] < needs[:, None])

    def _beside(self, t: NDArray[np.int64], kept: int) -> NDArray[np.int64]:
        size, gradient = self._bytes
        return gradient[t + 1] + (size[t] if kept else 0)

    def _in_slots(self, nbytes: NDArray[np.int64]) -> NDArray[np.int64]:
        return -(-nbytes // self._unit)

    def orders(self) -> Iterator[list[int]]:
        """The orders of computations of all trades of bytes against cost, from the budget down."""
        least = self._tables[0][self.count - 1][0]
        gains = np.flatnonzero(least < np.append(np.inf, least[:-1]))
        return (self._order(int(m)) for m in gains[::-1])

    def _order(self, slots: int) -> list[int]:
        size = self._in_slots(self._bytes[0])
        order: list[int] = []
        todo = [(0, self.count - 1, slots, 0)]
        while todo:
            s, t, m, kept = todo.pop()
            if s == t:
                order += ([] if kept else [t]) + [2 * self.count - 1 - t]
                continue
            k, still = self._choice(s, t, m, kept)
            order += range(s, k + 1)
            todo += [(s, k, m, still), (k + 1, t, m - int(size[k]), kept)]
        return order

    def _choice(self, s: int, t: int, m: int, kept: int) -> tuple[int, int]:
        """(k, whether f_k stays for its own gradient) of least cost."""
        size = self._in_slots(self._bytes[0])
        found = []
        for k in range(s, t):
            needs = self._way[s, k] + self._beside(np.array([t]), kept)
            below = m - int(size[k])
            if below < 0 or m < int(self._in_slots(needs)[0]):
                continue
            walk = self._prices[k + 1] - self._prices[s] + self._tables[kept][t - k - 1][k + 1, below]
            found += [(walk + self._tables[still][k - s][s, m], k, still) for still in (1, 0)]
        _, k, still = min(found, key=lambda one: (one[0], one[1], -one[2]))
        return k, still


def cheapest_persistent(question: Recompute, budget: int) -> list[int] | None:
    """The order of computations; None when the question is no chain, or no persistent course fits the budget."""
    count = stages_of(question)
    return None if count is None else next(Chain(question, count, budget).orders(), None)


def propose_chain(kernel: Kernel, budget: int, archive: Archive) -> None:
    """Offer every persistent course from the budget down, when the question is a chain that is not too long."""
    count = stages_of(kernel.question)
    if count is None or count > LONGEST:
        return
    for order in Chain(kernel.question, count, budget).orders():
        peak, cost = kernel.measure(order)
        archive.offer(peak, cost, "chain", lambda order=order: order)  # type: ignore[misc]
