"""Schedule -> an execution order with a lower peak, and a proved lower bound on the peak of every order.

The steps are split at cuts, steps that every other step precedes or follows in any order, so that each section is a
problem of its own; the peak of the whole is the greatest of theirs. A section is searched best first over the sets of
steps done (as in Ahn et al., Ordering Chaos, MLSys 2020): a set costs the least peak by which it can be reached. A step
that shrinks what is alive is taken at once: what it frees only grows with the steps done, so delaying it never helps.
A search that ends within its budget is exact; one that does not has ruled out every peak below the last cost.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graphmem.ir.schedule import Schedule

# Sets of steps tried in all sections together; counted, not timed, so that every machine finds the same order.
BUDGET = 30_000
# A step that adds less than the bound divided by this is shape arithmetic to the rough search.
ROUGH = 1_000
# Sections longer than this keep their order, and their bound looks at single steps only.
LONGEST_SECTION = 2_048
BEAM = 16
# A section that the exact search cannot finish is tried below this many limits.
TRIES = 8


@dataclass(frozen=True, slots=True)
class Order:
    """A permutation of the schedule's steps, and a peak in bytes that no order can go below."""

    steps: tuple[int, ...]
    bound: int


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


# Steps taken so far, the last one first: (earlier steps, step), or () at the start.
Path: TypeAlias = tuple[Any, ...]


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


def least_peak_order(schedule: Schedule, preceding: Sequence[Sequence[int]]) -> Order:
    """An order of the steps whose peak is as low as was found within the budget.

    `preceding[i]` are the steps whose results step i reads; the present order must respect them.
    """
    sections = list(_sections(schedule, preceding))
    bound = max((_floor(section) for _, section in sections), default=0)
    # Layers repeat: equal sections are searched once, and the budget is shared by the distinct ones that need a search.
    needy = dict.fromkeys(
        section
        for steps, section in sections
        if len(steps) <= LONGEST_SECTION and _peak(section, range(len(steps))) > bound
    )
    found: dict[Section, Sequence[int]] = {}
    for section in needy:
        found[section], least = _searched(section, bound, BUDGET // len(needy))
        bound = max(bound, least)
    order = [steps[local] for steps, section in sections for local in found.get(section, range(len(steps)))]
    return Order(tuple(order), bound)


def _cuts(preceding: Sequence[Sequence[int]]) -> list[int]:
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


def _sections(schedule: Schedule, preceding: Sequence[Sequence[int]]) -> Iterator[tuple[range, Section]]:
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
    ends = [cut + 1 for cut in _cuts(preceding)]
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


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _floor(section: Section) -> int:
    """Bytes that are alive in some step of the section whatever the order.

    In a step, what the step and those before it in every order have written is alive, but for the buffers whose every
    touch can be over by then: no step that touches them is this one or one that follows it in every order.
    """
    count = len(section.needs)
    if not count or count > LONGEST_SECTION:
        return section.base
    before: NDArray[np.bool_] = np.zeros((count, count), dtype=bool)
    for step in range(count):
        for other in _bits(section.needs[step]):
            before[step] |= before[other]
            before[step, other] = True
    itself = np.eye(count, dtype=bool)
    alive = np.where(before | itself, np.array(section.allocates, dtype=np.int64), 0).sum(axis=1)
    if section.dying:
        touching = np.zeros((len(section.dying), count), dtype=np.float32)
        for buffer, (steps, _, _) in enumerate(section.dying):
            touching[buffer, list(_bits(steps))] = 1
        still_needed = (before.T | itself).astype(np.float32) @ touching.T > 0
        writers = np.array([writer for _, _, writer in section.dying])
        exists = np.where(writers < 0, True, before[:, writers])
        sizes = np.array([nbytes for _, nbytes, _ in section.dying], dtype=np.int64)
        alive = alive - np.where(exists & ~still_needed, sizes, 0).sum(axis=1)
    return section.base + int(alive.max())


def _searched(section: Section, bound: int, budget: int) -> tuple[Sequence[int], int]:
    """(order of the section's steps, lower bound on its peak), trying at most twice `budget` sets of steps.

    Orders with a peak of at most `bound` are as good as optimal, since another section needs that much anyway.
    """
    in_place: Sequence[int] = range(len(section.needs))
    exact, least, spent = _best_first(section, bound, _peak(section, in_place), budget, 0)
    if exact is not None:
        return exact, least
    candidates = [in_place, _beam(section)]
    low, high = least, min(_peak(section, order) for order in candidates)
    while low < high and spent < 2 * budget:
        limit = (low + high) // 2
        rough, _, tried = _best_first(section, limit, limit, budget // TRIES, bound // ROUGH)
        spent += tried
        if rough is None:
            low = limit + 1
        else:
            candidates.append(rough)
            high = min(high, _peak(section, rough))
    return min(candidates, key=lambda order: _peak(section, order)), least


def _best_first(
    section: Section, bound: int, limit: int, budget: int, slack: int
) -> tuple[Sequence[int] | None, int, int]:
    """(order with a peak of at most `limit`, or None; lower bound on the peak; states tried).

    Costs start at `bound`. With slack, steps that add at most so many bytes (shape arithmetic) are taken at once like
    those that shrink what is alive; no bound follows then.
    """
    count = len(section.needs)
    ready = sum(1 << step for step in range(count) if not section.needs[step])
    everything, spent, ties, cost = (1 << count) - 1, 0, 0, bound
    waiting: list[tuple[int, int, int, int, State]] = [(bound, 0, 0, 0, State(0, ready, section.base, ()))]
    seen: set[int] = set()
    while waiting and spent < budget:
        cost, _, _, _, state = heapq.heappop(waiting)
        if state.done in seen:
            continue
        seen.add(state.done)
        spent += 1
        state = _shrunk(section, state, cost, slack)
        if state.done == everything:
            return _steps(state.path), cost, spent
        for step in _bits(state.ready):
            key = max(cost, state.live + section.allocates[step])
            if key <= limit:
                ties += 1
                following = state.after(section, step)
                heapq.heappush(waiting, (key, -following.done.bit_count(), following.live, ties, following))
    return None, cost, spent


def _shrunk(section: Section, state: State, limit: int, slack: int) -> State:
    """The state after every step that can be taken below `limit` and raises what is alive by at most `slack`."""
    moved = True
    while moved:
        moved = False
        for step in _bits(state.ready):
            if state.live + section.allocates[step] <= limit:
                following = state.after(section, step)
                if following.live <= state.live + slack:
                    state, moved = following, True
                    break
    return state


def _beam(section: Section) -> tuple[int, ...]:
    """An order found by keeping the best few partial orders of each length."""
    ready = sum(1 << step for step in range(len(section.needs)) if not section.needs[step])
    beam = [(section.base, State(0, ready, section.base, ()))]
    for _ in section.needs:
        following: dict[int, tuple[int, State]] = {}
        for peak, state in beam:
            for step in _bits(state.ready):
                reached = max(peak, state.live + section.allocates[step])
                done = state.done | 1 << step
                if done not in following or reached < following[done][0]:
                    following[done] = (reached, state.after(section, step))
        ranked = sorted(following.items(), key=lambda item: (item[1][0], item[1][1].live, item[0]))
        beam = [entry for _, entry in ranked[:BEAM]]
    return _steps(beam[0][1].path)


def _steps(path: Path) -> tuple[int, ...]:
    steps = []
    while path:
        path, step = path
        steps.append(step)
    return tuple(reversed(steps))


def _peak(section: Section, order: Sequence[int]) -> int:
    live = peak = section.base
    done = 0
    for step in order:
        live += section.allocates[step]
        peak = max(peak, live)
        done |= 1 << step
        live -= section.freed_by(step, done)
    return peak
