"""The evaluator: counts by hand, and refuses every course that cheats."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from graphmem.checkpoint.evaluate import course_of, judge, judged
from graphmem.ir.errors import BrokenInvariantError
from graphmem.ir.recompute import Course
from tests.checkpoint.questions import question, tangle

# a -> b -> c, and d reads a and c
SQUARE = question([8, 4, 2, 1], [1, 10, 100, 1000], [(), (0,), (1,), (0, 2)])


def test_keeping_all_holds_a_until_its_last_read() -> None:
    found = judged(SQUARE, [0, 1, 2, 3], "keep-all")
    assert found.peak == 8 + 4 + 2  # a is kept for d while c is computed from b
    assert found.cost == 1 + 10 + 100 + 1000


def test_a_value_computed_again_is_paid_twice_and_not_held_between() -> None:
    found = judged(SQUARE, [0, 1, 2, 0, 3], "recompute a")
    assert found.peak == 8 + 4  # a and b; later c, a and d: 2 + 8 + 1
    assert found.cost == 1 + 10 + 100 + 1 + 1000


def test_resident_bytes_are_alive_throughout() -> None:
    assert judged(replace(SQUARE, resident=100), [0, 1, 2, 3], "").peak == 100 + 14


@pytest.mark.parametrize(
    ("course", "complaint"),
    [
        (Course((0, 2, 1, 3), ((), (), (), ())), "1 which it reads is not alive"),
        (Course((0, 1, 2, 3), ((0,), (), (), ())), "0 which it reads is not alive"),
        (Course((0, 0, 1, 2, 3), ((), (), (), (), ())), "although its value is alive"),
        (Course((0, 1, 2), ((), (), ())), "every operation at least once"),
        (Course((0, 1, 2, 3), ((3,), (), (), ())), "frees 3, which is not alive"),
    ],
)
def test_a_course_that_cheats_raises(course: Course, complaint: str) -> None:
    with pytest.raises(BrokenInvariantError, match=complaint):
        judge(SQUARE, course)


def test_a_kept_order_and_a_pinned_operation_are_enforced() -> None:
    loose = question([1, 1, 1], [1, 1, 1], [(), (), (0, 1)])
    with pytest.raises(BrokenInvariantError, match="base order"):
        judged(loose, [1, 0, 2], "")
    assert judged(loose.in_free_order(), [1, 0, 2], "").peak == 3
    pinned = replace(SQUARE, operations=(replace(SQUARE.operations[0], pinned=True), *SQUARE.operations[1:]))
    with pytest.raises(BrokenInvariantError, match="pinned but computed 2 times"):
        judged(pinned, [0, 1, 2, 0, 3], "")
    assert judged(pinned, [0, 1, 2, 3], "").cost == 1111


@pytest.mark.parametrize("order", [[1, 0, 2, 3], [0, 2, 1, 3], [0, 1, 3, 2]])
def test_a_base_order_is_kept_from_either_side(order: list[int]) -> None:
    free = question([1] * 4, [1] * 4, [()] * 4)
    with pytest.raises(BrokenInvariantError, match="base order"):
        judged(free, order, "")
    assert judged(free.in_free_order(), order, "").cost == 4


@pytest.mark.parametrize("order", [[0, 1], [0, 2], [1, 2]])
def test_an_operation_never_computed_is_noticed_whichever_it_is(order: list[int]) -> None:
    with pytest.raises(BrokenInvariantError, match="every operation at least once"):
        judged(question([1] * 3, [1] * 3, [()] * 3, keep_order=False), order, "")


@pytest.mark.parametrize("operation", [3, -1])
def test_an_operation_of_another_question_is_noticed(operation: int) -> None:
    loose = question([1] * 4, [1] * 4, [()] * 4, keep_order=False)
    smaller = replace(loose, operations=loose.operations[:3] if operation == 3 else loose.operations)
    order = (0, 1, 2, operation)
    with pytest.raises((BrokenInvariantError, IndexError)):
        judge(smaller, Course(order, ((0,), (1,), (2,), (operation,))))


@pytest.mark.parametrize("seed", range(25))
def test_a_random_course_has_the_peak_and_cost_of_a_replay_that_scans_for_readers(seed: int) -> None:
    dice = random.Random(seed)
    asked = replace(tangle(7, seed), resident=dice.randint(0, 5))
    order: list[int] = []
    for operation in range(len(asked)):
        for _ in range(dice.randint(0, 2)):
            again = dice.randrange(operation + 1)
            order += [again] * (again < operation and all(source in order for source in asked.reads[again]))
        order.append(operation)

    def last_read(step: int) -> int:
        """The last step that reads what `step` has made, before it is made again."""
        reads = [step]
        for later in range(step + 1, len(order)):
            if order[step] in asked.reads[order[later]]:
                reads.append(later)
            if order[later] == order[step]:
                break
        return reads[-1]

    spans = [(step, last_read(step)) for step in range(len(order))]
    frees = tuple(tuple(sorted(order[a] for a, b in spans if b == step)) for step in range(len(order)))
    assert course_of(asked, order) == Course(tuple(order), frees)
    if any(a < c <= b and order[a] == order[c] for a, b in spans for c, _ in spans):
        with pytest.raises(BrokenInvariantError, match="although its value is alive"):
            judged(asked, order, "")
        return
    found = judged(asked, order, "dice")
    size = [operation.nbytes for operation in asked.operations]
    alive = [sum(size[order[a]] for a, b in spans if a <= step <= b) for step in range(len(order))]
    assert found.peak == asked.resident + max(alive)
    assert found.cost == sum(times * asked.operations[o].cost for o, times in Counter(order).items())
    assert (found.strategy, found.course) == ("dice", course_of(asked, order))
