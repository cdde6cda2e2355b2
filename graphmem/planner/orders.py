"""Problem -> orders: which buffer goes first, by keys, by noise on an order, and by blame.

No order is best everywhere, so the planner tries many. Every sort ends with the row, so an order is one permutation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphmem.ir.memory import IntColumn
from graphmem.planner.problem import Problem, tightness

MULTIPLIER, INCREMENT, MASK = 6364136223846793005, 1442695040888963407, (1 << 64) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """What orders are made of; larger goes first unless negated. `area` may be inexact, it only breaks the order."""

    size: IntColumn
    length: IntColumn
    area: IntColumn
    tight: IntColumn
    start: IntColumn


def keys(problem: Problem, length: IntColumn) -> Keys:
    """Keys of a problem; `length` is each row's lifetime in steps, before the time axis was compressed."""
    sections = problem.stop - problem.start
    area = np.minimum(problem.size, (1 << 62) // np.maximum(sections, 1)) * sections
    return Keys(problem.size, length, area, tightness(problem), problem.start)


def greedy_orders(k: Keys, sections: IntColumn) -> list[IntColumn]:
    """Rows first to last, for the greedy families: longest, largest area, largest, tightest, earliest and mixtures."""
    steps_area = np.minimum(k.size, (1 << 62) // np.maximum(k.length, 1)) * k.length
    return [
        _descending(sections, k.size),
        _descending(k.area),
        _descending(steps_area),
        _descending(-k.start, sections),
        _descending(k.size, sections),
        _descending(k.tight, k.area),
        _descending(k.tight, sections, k.size),
        _descending(k.length, k.size),
        _descending(k.tight, k.size),
    ]


def search_orders(k: Keys, sections: IntColumn) -> list[IntColumn]:
    """Rows first to last, for the exact search: each key also reversed, since small first is at times what fits."""
    return [
        _descending(k.size, sections),
        _descending(sections, k.size),
        _descending(k.area),
        _descending(k.tight, k.size),
        _descending(k.tight, sections),
        _descending(-k.size, -sections),
        _descending(-sections, -k.size),
        _descending(k.tight, -k.size),
    ]


def mixing_columns(k: Keys, sections: IntColumn) -> list[IntColumn]:
    """Six keys as comparable ranks, equal values with equal ranks: what `mixed` weighs against each other."""
    peak = (k.tight == k.tight.max(initial=0)) * k.size.size
    return [*(_shared_rank(column) for column in (k.size, sections, k.length, k.tight)), peak, _shared_rank(-k.start)]


def mixed(columns: list[IntColumn], weights: IntColumn, push: IntColumn) -> IntColumn:
    """Rows by the weighted sum of the columns plus `push`, highest first."""
    score = push + sum(int(weight) * column for weight, column in zip(weights, columns, strict=True))
    return _descending(score)


def rank_of(order: IntColumn) -> IntColumn:
    """Position of each row in an order."""
    rank = np.empty(order.size, dtype=np.int64)
    rank[order] = np.arange(order.size)
    return rank


def noisy(order: IntColumn, noise: IntColumn) -> IntColumn:
    """The order after adding `noise` to every row's position."""
    return np.lexsort((np.arange(order.size), rank_of(order) + noise))


class Dice:
    """Pseudo-random numbers that are the same on every machine and in every numpy: a 64-bit congruential generator."""

    def __init__(self, seed: int = 1) -> None:
        self._state = seed

    def below(self, limit: int, count: int) -> IntColumn:
        """`count` numbers in [0, limit), from SplitMix64 over a counter (Steele, Lea and Flood, OOPSLA 2014)."""
        self._state = (self._state * MULTIPLIER + INCREMENT) & MASK
        golden, mix1, mix2 = (np.uint64(c) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
        x = np.uint64(self._state) + golden * np.arange(1, count + 1, dtype=np.uint64)
        x = (x ^ (x >> np.uint64(30))) * mix1
        x = (x ^ (x >> np.uint64(27))) * mix2
        x ^= x >> np.uint64(31)
        return np.asarray((x >> np.uint64(11)) % np.uint64(max(limit, 1)), dtype=np.int64)


def _shared_rank(column: IntColumn) -> IntColumn:
    _, group, count = np.unique(column, return_inverse=True, return_counts=True)
    return np.asarray(np.cumsum(count)[group], dtype=np.int64)


def _descending(*columns: IntColumn) -> IntColumn:
    rows = np.arange(columns[0].size)
    return np.lexsort((rows, *(-column for column in reversed(columns))))
