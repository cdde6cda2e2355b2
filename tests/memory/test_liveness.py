"""Schedule -> lifetimes -> timeline, on small sums that a reader can do in the head."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphmem.ir.errors import ModelError
from graphmem.ir.schedule import Buffer, Schedule, Step
from graphmem.memory.liveness import lifetimes, timeline


def schedule(
    sizes: list[int], steps: list[tuple[list[int], list[int]]], entering: list[int], leaving: list[int]
) -> Schedule:
    return Schedule(
        tuple(Step(str(i), "op", "forward", tuple(reads), tuple(writes)) for i, (reads, writes) in enumerate(steps)),
        tuple(Buffer(str(i), size, "activation", (str(i),)) for i, size in enumerate(sizes)),
        tuple(entering),
        tuple(leaving),
    )


def test_a_buffer_lives_from_its_write_through_its_last_read() -> None:
    chain = schedule([10, 20, 30], [([0], [1]), ([1], [2])], entering=[0], leaving=[2])
    alive = lifetimes(chain)
    assert [(life.start, life.stop) for life in alive] == [(0, 1), (0, 2), (1, 2)]
    live = timeline(alive, chain)
    assert live.live.tolist() == [10 + 20, 20 + 30]
    assert (live.peak, live.peak_step) == (50, 1)


def test_an_output_nobody_reads_lives_to_the_end_and_a_dead_result_only_in_its_step() -> None:
    forked = schedule([1, 2, 4, 8], [([0], [1]), ([0], [2]), ([0], [3])], entering=[0], leaving=[1])
    assert timeline(lifetimes(forked), forked).live.tolist() == [1 + 2, 1 + 2 + 4, 1 + 2 + 8]


def test_an_input_that_nobody_reads_is_there_when_the_run_starts() -> None:
    unread = schedule([1, 2, 4], [([0], [1]), ([1], [1])], entering=[0, 2], leaving=[])
    assert timeline(lifetimes(unread), unread).live.tolist() == [1 + 2 + 4, 2]


def test_workspace_is_alive_in_its_step_only() -> None:
    step = Step("s", "op", "forward", (), (0,), workspace=5)
    one = Schedule((step,), (Buffer("b", 3, "activation", ("b",)),), (), (0,))
    assert timeline(lifetimes(one), one).live.tolist() == [3 + 5]


def test_more_than_two_to_the_sixty_three_bytes_are_refused_not_wrapped() -> None:
    with pytest.raises(ModelError, match="2\\^63"):
        lifetimes(schedule([2**62, 2**62], [([], [0, 1])], [], []))


@given(st.lists(st.tuples(st.integers(0, 50), st.lists(st.integers(0, 30), max_size=3)), min_size=1, max_size=30))
def test_the_timeline_is_the_sum_over_intervals(rows: list[tuple[int, list[int]]]) -> None:
    steps = [([r % i for r in reads] if i else [], [i]) for i, (_, reads) in enumerate(rows)]
    random = schedule([size for size, _ in rows], steps, [], [len(rows) - 1])
    alive = lifetimes(random)
    by_hand = [sum(life.nbytes for life in alive if life.start <= t < life.stop) for t in range(len(rows))]
    live = timeline(alive, random)
    assert live.live.tolist() == by_hand
    assert live.peak <= int(np.sum(alive.nbytes))
