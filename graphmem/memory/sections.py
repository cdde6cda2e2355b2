"""Schedule -> the sections of it that can be ordered by themselves, and the states that an order goes through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graphmem.ir.schedule import Schedule

# Sections longer than this keep their order, and their bound looks at single steps only.
LONGEST_SECTION = 2_048

# Steps taken so far, the last one first: (earlier steps, step), or () at the start.
Path: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Steps between two cuts, numbered from 0; sets of steps are the bits of an integer.

    needs[i]      steps that must be done before step i
    unlocks[i]    steps that need step i
    allocates[i]  bytes that come to life in step i
    dying         (steps that touch it, bytes, step that writes it or -1) of each buffer that dies in the section
    touches[i]    those of them that step i touches
    base          bytes alive when the section starts
    """

    needs: tuple[int, ...]
    unlocks: tuple[tuple[int, ...], ...]
    allocates: tuple[int, ...]
    dying: tuple[tuple[int, int, int], ...]
    touches: tuple[tuple[int, ...], ...]
    base: int

    def freed_by(self, step: int, done: int) -> int:
        """Bytes that die in `step`, when `done` are the steps executed, it included."""
        return sum(self.dying[b][1] for b in self.touches[step] if self.dying[b][0] & ~done == 0)


@dataclass(frozen=True, slots=True)
class State:
    """Steps done, steps that could be next, bytes alive, and the way here."""

    done: int
    ready: int
    live: int
    path: Path

    def after(self, section: Section, step: int) -> State:
        """The state once `step` is executed too."""
        done = self.done | 1 << step
        ready = self.ready & ~(1 << step)
        for other in section.unlocks[step]:
            if section.needs[other] & ~done == 0:
                ready |= 1 << other
        live = self.live + section.allocates[step] - section.freed_by(step, done)
        return State(done, ready, live, (self.path, step))


def cuts(preceding: Sequence[Sequence[int]]) -> list[int]:
    """Steps that all earlier ones precede and all later ones follow, whatever the order.

    All later steps follow step i exactly when each of them has a predecessor at or after i (by induction); all earlier
    ones precede it exactly when each of them has a successor at or before i.
    """
    count = len(preceding)
    first_successor = [count] * count
    for step, before in enumerate(preceding):
        for other in before:
            first_successor[other] = min(first_successor[other], step)
    followed, least = [False] * count, count
    for step in range(count - 1, -1, -1):
        followed[step] = least >= step
        least = min(least, max(preceding[step], default=-1))
    cuts, greatest = [], -1
    for step in range(count):
        if followed[step] and greatest <= step:
            cuts.append(step)
        greatest = max(greatest, first_successor[step])
    return cuts


def sections(schedule: Schedule, preceding: Sequence[Sequence[int]]) -> Iterator[tuple[range, Section]]:
    """(steps, section) between every two cuts."""
    count, leaving = len(preceding), frozenset(schedule.leaving)
    last_touch = [-1] * len(schedule.buffers)
    for step, s in enumerate(schedule.steps):
        for buffer in (*s.writes, *s.reads):
            last_touch[buffer] = step
    dying = [0] * count  # bytes whose last touch is in that step
    for buffer, step in enumerate(last_touch):
        if step >= 0 and buffer not in leaving:
            dying[step] += schedule.buffers[buffer].nbytes
    live = sum(schedule.buffers[b].nbytes for b in schedule.entering if last_touch[b] >= 0 or b in leaving)
    ends = [cut + 1 for cut in cuts(preceding)]
    start = 0
    for end in ends if ends and ends[-1] == count else [*ends, count]:
        section = _section(schedule, preceding, range(start, end), live, last_touch, leaving)
        yield range(start, end), section
        live += sum(section.allocates) - sum(dying[start:end])
        start = end


def _section(
    schedule: Schedule,
    preceding: Sequence[Sequence[int]],
    steps: range,
    live: int,
    last_touch: Sequence[int],
    leaving: frozenset[int],
) -> Section:
    start = steps.start
    rows = [schedule.steps[step] for step in steps]
    before = [sorted({p - start for p in preceding[step] if p >= start}) for step in steps]
    unlocks: list[list[int]] = [[] for _ in rows]
    touching: dict[int, int] = {}
    for local, row in enumerate(rows):
        for other in before[local]:
            unlocks[other].append(local)
        for buffer in (*row.writes, *row.reads):
            touching[buffer] = touching.get(buffer, 0) | 1 << local
    writer = {buffer: local for local, row in enumerate(rows) for buffer in row.writes}
    dying = [b for b in touching if last_touch[b] < steps.stop and b not in leaving]
    number = {buffer: i for i, buffer in enumerate(dying)}
    return Section(
        needs=tuple(sum(1 << other for other in others) for others in before),
        unlocks=tuple(map(tuple, unlocks)),
        allocates=tuple(sum(schedule.buffers[b].nbytes for b in row.writes) for row in rows),
        dying=tuple((touching[b], schedule.buffers[b].nbytes, writer.get(b, -1)) for b in dying),
        touches=tuple(
            tuple(number[b] for b in dict.fromkeys((*row.writes, *row.reads)) if b in number) for row in rows
        ),
        base=live,
    )


def bits(mask: int) -> Iterator[int]:
    """The numbers of the bits that are set."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def least_peak(section: Section) -> int:
    """Bytes that are alive in some step of the section whatever the order.

    In a step, what the step and those before it in every order have written is alive, but for the buffers whose every
    touch can be over by then: no step that touches them is this one or one that follows it in every order.
    """
    count = len(section.needs)
    if not count or count > LONGEST_SECTION:
        return section.base
    before: NDArray[np.bool_] = np.zeros((count, count), dtype=bool)
    for step in range(count):
        for other in bits(section.needs[step]):
            before[step] |= before[other]
            before[step, other] = True
    itself = np.eye(count, dtype=bool)
    alive = np.where(before | itself, np.array(section.allocates, dtype=np.int64), 0).sum(axis=1)
    if section.dying:
        touching = np.zeros((len(section.dying), count), dtype=np.float32)
        for buffer, (steps, _, _) in enumerate(section.dying):
            touching[buffer, list(bits(steps))] = 1
        still_needed = (before.T | itself).astype(np.float32) @ touching.T > 0
        writers = np.array([writer for _, _, writer in section.dying])
        exists = np.where(writers < 0, True, before[:, writers])
        sizes = np.array([nbytes for _, nbytes, _ in section.dying], dtype=np.int64)
        alive = alive - np.where(exists & ~still_needed, sizes, 0).sum(axis=1)
    return section.base + int(alive.max())


def peak_of(section: Section, order: Sequence[int]) -> int:
    """Bytes alive at most in that order."""
    live = peak = section.base
    done = 0
    for step in order:
        live += section.allocates[step]
        peak = max(peak, live)
        done |= 1 << step
        live -= section.freed_by(step, done)
    return peak
