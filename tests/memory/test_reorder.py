"""The reordered peak against every topological order of small random graphs."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from graphmem.ir.schedule import Buffer, Schedule, Step
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
