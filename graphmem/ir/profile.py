"""Profile: one run in everything that a picture of it shows, so that a report only lays out what it finds here."""

from __future__ import annotations

from dataclasses import dataclass

from graphmem.ir.analysis import LiveTensor
from graphmem.ir.graph import Origin
from graphmem.ir.memory import IntColumn, Lifetimes, Plan, Timeline
from graphmem.ir.schedule import Schedule


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Bytes of one kind alive in each step; the bands of a profile add up to its timeline."""

    kind: str
    live: IntColumn


@dataclass(frozen=True, slots=True)
class Block:
    """Steps [start, stop) between two cuts of the run; `peak` is the most bytes alive in any of them."""

    start: int
    stop: int
    peak: int


@dataclass(frozen=True, slots=True)
class Scope:
    """A module of the source program, all that lies inside it included. `parent` is its row, -1 for the root.

    `made` counts the bytes of every buffer that its steps write, `at_peak` those of them alive at the peak,
    `weights` the bytes of the weights that its steps are the first to read; in training with their gradients and
    optimizer state, `at_peak` includes these, and `saved` are the activations that wait for the backward pass.
    """

    path: str
    parent: int
    module: str
    steps: int
    weights: int
    made: int
    at_peak: int
    saved: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """One run: row i of `tensors` is buffer i of the schedule, entry s of `origins` and `step_scopes` is step s.

    `standing` bytes (weights) are there throughout and in no lifetime, bands `beside` in no peak. Entry i of `homes` is
    the scope that buffer i belongs to; empty: that of the step that makes it.
    """

    name: str
    schedule: Schedule
    lifetimes: Lifetimes
    timeline: Timeline
    tensors: tuple[LiveTensor, ...]
    origins: tuple[Origin, ...]
    bands: tuple[Band, ...]
    blocks: tuple[Block, ...]
    scopes: tuple[Scope, ...]
    step_scopes: tuple[int, ...]
    standing: int = 0
    plan: Plan | None = None
    beside: tuple[Band, ...] = ()
    homes: tuple[int, ...] = ()

    @property
    def rows_at_peak(self) -> tuple[int, ...]:
        """Rows of the buffers alive at the peak, the greatest first."""
        step, alive = self.timeline.peak_step, self.lifetimes
        rows = [row for row in range(len(alive)) if alive.start[row] <= step < alive.stop[row]]
        return tuple(sorted(rows, key=lambda row: (-int(alive.nbytes[row]), row)))

    @property
    def offsets(self) -> tuple[int, ...] | None:
        """Offset of every row in the plan's arena; None without a plan."""
        if self.plan is None:
            return None
        placed = {placement.lifetime.buffer: placement.offset for placement in self.plan.placements}
        return tuple(placed.get(name, -1) for name in self.lifetimes.buffers)
