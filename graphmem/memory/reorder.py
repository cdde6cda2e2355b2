"""Schedule -> an execution order with a lower peak, and a proved lower bound on the peak of every order.

The steps are split at cuts, steps that every other step precedes or follows in any order, so that each section is a
problem of its own; the peak of the whole is the greatest of theirs. A section is searched best first over the sets of
steps done (as in Ahn et al., Ordering Chaos, MLSys 2020): a set costs the least peak by which it can be reached. A step
that shrinks what is alive is taken at once: what it frees only grows with the steps done, so delaying it never helps.
A search that ends within its budget is exact; one that does not has ruled out every peak below the last cost.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from graphmem.ir.schedule import Schedule
from graphmem.memory.sections import LONGEST_SECTION, Path, Section, State, bits, least_peak, peak_of, sections

# Sets of steps tried in all sections together; counted, not timed, so that every machine finds the same order.
BUDGET = 30_000
# A step that adds less than the bound divided by this is shape arithmetic to the rough search.
ROUGH = 1_000
BEAM = 16
# A section that the exact search cannot finish is tried below this many limits.
TRIES = 8


@dataclass(frozen=True, slots=True)
class Order:
    """A permutation of the schedule's steps, and a peak in bytes that no order can go below."""

    steps: tuple[int, ...]
    bound: int


def least_peak_order(schedule: Schedule, preceding: Sequence[Sequence[int]]) -> Order:
    """An order of the steps whose peak is as low as was found within the budget.

    `preceding[i]` are the steps whose results step i reads; the present order must respect them.
    """
    parts = list(sections(schedule, preceding))
    bound = max((least_peak(section) for _, section in parts), default=0)
    # Layers repeat: equal sections are searched once, and the budget is shared by the distinct ones that need a search.
    needy = dict.fromkeys(
        section
        for steps, section in parts
        if len(steps) <= LONGEST_SECTION and peak_of(section, range(len(steps))) > bound
    )
    found: dict[Section, Sequence[int]] = {}
    for section in needy:
        found[section], least = _searched(section, bound, BUDGET // len(needy))
        bound = max(bound, least)
    order = [steps[local] for steps, section in parts for local in found.get(section, range(len(steps)))]
    return Order(tuple(order), bound)


def _searched(section: Section, bound: int, budget: int) -> tuple[Sequence[int], int]:
    """(order of the section's steps, lower bound on its peak), trying at most twice `budget` sets of steps.

    Orders with a peak of at most `bound` are as good as optimal, since another section needs that much anyway.
    """
    in_place: Sequence[int] = range(len(section.needs))
    exact, least, spent = _best_first(section, bound, peak_of(section, in_place), budget, 0)
    if exact is not None:
        return exact, least
    candidates = [in_place, _beam(section)]
    low, high = least, min(peak_of(section, order) for order in candidates)
    while low < high and spent < 2 * budget:
        limit = (low + high) // 2
        rough, _, tried = _best_first(section, limit, limit, budget // TRIES, bound // ROUGH)
        spent += tried
        if rough is None:
            low = limit + 1
        else:
            candidates.append(rough)
            high = min(high, peak_of(section, rough))
    return min(candidates, key=lambda order: peak_of(section, order)), least


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
        for step in bits(state.ready):
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
        for step in bits(state.ready):
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
            for step in bits(state.ready):
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
