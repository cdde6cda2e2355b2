"""Lifetimes, Timeline and Plan: when buffers are alive, how much that adds up to, and where they are put.

Time is the index of a step; intervals are half-open, [start, stop).

    step        0    1    2
    a        [=========)          Lifetime("a", 100, start=0, stop=2)
    b             [=========)     Lifetime("b",  50, start=1, stop=3)
    Timeline   100  150   50      peak 150 at step 1
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from graphmem.ir.errors import BrokenInvariantError

IntColumn: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lifetime:
    """One buffer of `nbytes` bytes, alive in every step of [start, stop)."""

    buffer: str
    nbytes: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True, eq=False)
class Lifetimes:
    """Many lifetimes as columns of equal length; row i is the lifetime of the i-th buffer."""

    buffers: tuple[str, ...]
    nbytes: IntColumn
    start: IntColumn
    stop: IntColumn

    def __post_init__(self) -> None:
        if not len(self.buffers) == len(self.nbytes) == len(self.start) == len(self.stop):
            raise BrokenInvariantError("the columns of lifetimes differ in length")

    def __len__(self) -> int:
        return len(self.buffers)

    def __getitem__(self, row: int) -> Lifetime:
        return Lifetime(self.buffers[row], int(self.nbytes[row]), int(self.start[row]), int(self.stop[row]))

    def __iter__(self) -> Iterator[Lifetime]:
        return map(Lifetime, self.buffers, self.nbytes.tolist(), self.start.tolist(), self.stop.tolist())

    @classmethod
    def of(cls, rows: list[Lifetime]) -> Lifetimes:
        """The same lifetimes as columns, in the order given."""
        return cls(
            tuple(row.buffer for row in rows),
            np.array([row.nbytes for row in rows], dtype=np.int64),
            np.array([row.start for row in rows], dtype=np.int64),
            np.array([row.stop for row in rows], dtype=np.int64),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Bytes alive in each step."""

    live: IntColumn

    @property
    def peak(self) -> int:
        """The most bytes alive in any step; 0 when there is no step."""
        return int(self.live.max()) if self.live.size else 0

    @property
    def peak_step(self) -> int:
        """The first step at which the peak is reached; 0 when there is no step."""
        return int(self.live.argmax()) if self.live.size else 0


@dataclass(frozen=True, slots=True)
class Placement:
    """One lifetime put at [offset, offset + nbytes) of the arena, both in bytes."""

    lifetime: Lifetime
    offset: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Offsets for every buffer in one arena, and how good that provably is.

    `lower_bound` is a number of bytes that no plan of these lifetimes can go below (at this alignment).
    """

    method: str
    placements: tuple[Placement, ...]
    lower_bound: int
    alignment: int = 1

    @property
    def arena(self) -> int:
        """Bytes of the arena: the highest end of any placement, rounded up to the alignment."""
        top = max((p.offset + p.lifetime.nbytes for p in self.placements), default=0)
        return -(-top // self.alignment) * self.alignment

    @property
    def is_optimal(self) -> bool:
        """True when the arena is proved to be the least possible."""
        return self.arena == self.lower_bound

    @property
    def gap(self) -> float:
        """How far the arena is above the bound, as a fraction of the bound; 0.0 is a proof."""
        return (self.arena - self.lower_bound) / self.lower_bound if self.lower_bound else 0.0
