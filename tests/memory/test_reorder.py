"""The reordered peak against every topological order of small random graphs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmem.ir.schedule import Buffer, Schedule, Step
from graphmem.memory import reorder, sections
from graphmem.memory.liveness import lifetimes, timeline
from graphmem.memory.reorder import least_peak_order


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Schedule, list[list[int]]]:
    """Up to seven steps, each with one buffer of its own, reading any earlier ones; some outputs stay."""
    count = draw(st.integers(1, 7))
    sizes = [draw(st.integers(1, 20)) for _ in range(count)]
    before = [sorted(draw(st.sets(st.integers(0, step - 1), max_size=3))) if step else [] for step in range(count)]
    leaving = sorted(draw(st.sets(st.integers(0, count - 1), max_size=2)))
    steps = tuple(Step(str(i), "op", "forward", tuple(reads), (i,)) for i, reads in enumerate(before))
    buffers = tuple(Buffer(str(i), size, "activation", (str(i),)) for i, size in enumerate(sizes))
    return Schedule(steps, buffers, (), tuple(leaving)), before


def orders(before: list[list[int]], done: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    if len(done) == len(before):
        yield done
    for step in range(len(before)):
        if step not in done and all(p in done for p in before[step]):
            yield from orders(before, (*done, step))


def peak_in(schedule: Schedule, order: tuple[int, ...]) -> int:
    reordered = Schedule(tuple(schedule.steps[i] for i in order), schedule.buffers, schedule.entering, schedule.leaving)
    return timeline(lifetimes(reordered), reordered).peak


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_the_search_finds_the_least_peak_of_all_orders_and_proves_it(problem: tuple[Schedule, list[list[int]]]) -> None:
    schedule, before = problem
    least = min(peak_in(schedule, order) for order in orders(before))
    found = least_peak_order(schedule, before)
    assert sorted(found.steps) == list(range(len(before)))
    position = {step: place for place, step in enumerate(found.steps)}
    assert all(position[p] < position[step] for step in position for p in before[step])
    assert peak_in(schedule, found.steps) == least
    assert found.bound == least


@cache
def problem(seed: int) -> tuple[Schedule, tuple[tuple[int, ...], ...], int]:
    """Five or six steps that write none, one or two buffers, some entering or leaving; and the least peak of all."""
    dice = random.Random(seed)
    count = dice.randint(5, 6)
    before = [tuple(sorted(dice.sample(range(step), min(step, dice.randint(0, 2))))) for step in range(count)]
    entering = dice.randint(0, 2)
    sizes = [dice.randint(1, 20) for _ in range(entering)]
    made: list[list[int]] = []
    for _ in range(count):
        made.append([len(sizes) + i for i in range(dice.choice([0, 1, 1, 1, 2]))])
        sizes += [dice.choice([0, 1, 5, 9, 20, 40]) for _ in made[-1]]
    steps = []
    for step, reads in enumerate(before):
        given_ = [row for row in range(entering) if dice.random() < 0.3]
        rows = [row for other in reads for row in made[other]]
        steps.append(Step(str(step), "op", "forward", (*given_, *rows), tuple(made[step])))
    buffers = tuple(Buffer(str(i), size, "activation", (str(i),)) for i, size in enumerate(sizes))
    unread = {row for row in range(entering) if not any(row in step.reads for step in steps)}
    leaving = tuple(sorted({*unread, *dice.sample(range(len(sizes)), min(len(sizes), dice.randint(0, 2)))}))
    schedule = Schedule(tuple(steps), buffers, tuple(range(entering)), leaving)
    return schedule, tuple(before), min(peak_in(schedule, order) for order in orders(list(map(list, before))))


def follows(before: tuple[tuple[int, ...], ...]) -> list[set[int]]:
    """For each step those that precede it in every order."""
    found: list[set[int]] = []
    for reads in before:
        found.append(set(reads).union(*(found[other] for other in reads)))
    return found


SEEDS = range(40)


def is_valid(order: tuple[int, ...], before: tuple[tuple[int, ...], ...]) -> bool:
    place = {step: at for at, step in enumerate(order)}
    return sorted(order) == list(range(len(before))) and all(
        place[other] < place[step] for step, reads in enumerate(before) for other in reads
    )


def test_buffers_of_the_caller_and_of_several_outputs_are_counted_as_the_timeline_counts_them() -> None:
    for seed in SEEDS:
        schedule, before, least = problem(seed)
        found = least_peak_order(schedule, before)
        assert is_valid(found.steps, before)
        assert peak_in(schedule, found.steps) == found.bound == least


@pytest.mark.parametrize(("name", "value"), [("BUDGET", 1), ("BUDGET", 3), ("BUDGET", 8), ("LONGEST_SECTION", 2)])
def test_a_search_cut_short_keeps_a_valid_order_no_worse_and_a_bound_below_the_least_peak(
    name: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reorder, name, value)
    for seed in SEEDS:
        schedule, before, least = problem(seed)
        found = least_peak_order(schedule, before)
        assert is_valid(found.steps, before)
        assert found.bound <= least <= peak_in(schedule, found.steps) <= peak_in(schedule, tuple(range(len(before))))


def test_cuts_are_the_steps_that_all_others_precede_or_follow() -> None:
    for seed in range(200):
        dice = random.Random(seed)
        before = [tuple(dice.sample(range(s), min(s, dice.randint(0, 2)))) for s in range(dice.randint(1, 8))]
        above = follows(tuple(before))
        cuts = [
            step
            for step in range(len(before))
            if all(other in above[step] or step in above[other] for other in range(len(before)) if other != step)
        ]
        assert sections.cuts(before) == cuts


def floor_by_definition(section: reorder.Section, above: list[set[int]]) -> int:
    """What the steps before a step in every order have written, but for what all their touches may be done with."""
    floors = []
    for step, earlier in enumerate(above):
        written = sum(section.allocates[other] for other in {step, *earlier})
        later = {other for other, before in enumerate(above) if step in before}
        for touches, nbytes, writer in section.dying:
            is_there = writer < 0 or writer in earlier
            if is_there and not any(touches >> other & 1 for other in {step, *later}):
                written -= nbytes
        floors.append(section.base + written)
    return max(floors)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_part_of_the_search_agrees_with_all_orders_of_a_section(seed: int) -> None:
    schedule, before, _ = problem(seed)
    for steps, section in sections.sections(schedule, before):
        inside = [[p - steps.start for p in before[s] if p >= steps.start] for s in steps]
        peaks = {order: sections.peak_of(section, order) for order in orders(inside)}
        for order, peak in peaks.items():
            whole = (*range(steps.start), *(steps.start + s for s in order), *range(steps.stop, len(before)))
            moved = Schedule(
                tuple(schedule.steps[s] for s in whole), schedule.buffers, schedule.entering, schedule.leaving
            )
            live = timeline(lifetimes(moved), moved).live[steps.start : steps.stop]
            assert peak == max(live.tolist())
        least = min(peaks.values())
        assert sections.least_peak(section) == floor_by_definition(section, follows(tuple(map(tuple, inside)))) <= least
        assert peaks[reorder._beam(section)] == least  # so few sets of steps fit into the beam
        found, bound, spent = reorder._best_first(section, 0, least, 10_000, 0)
        assert found is not None
        assert (peaks[tuple(found)], bound) == (least, least)
        assert reorder._best_first(section, least + 7, least + 7, 10_000, 0)[1] == least + 7
        if section.base < least:
            none, _, _ = reorder._best_first(section, 0, least - 1, 10_000, 0)
            assert none is None
        rough, _, _ = reorder._best_first(section, 0, least + 3, 10_000, 3)
        assert rough is None or peaks[tuple(rough)] <= least + 3
        assert reorder._best_first(section, 0, least, spent, 0)[0] is not None
        short, low, tried = reorder._best_first(section, 0, least, spent - 1, 0)
        assert (short, tried) == (None, spent - 1)
        assert low <= least
