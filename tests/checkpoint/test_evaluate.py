"""The evaluator: counts by hand, and refuses every course that cheats."""

from __future__ import annotations

from dataclasses import replace

import pytest

from graphmem.checkpoint.evaluate import judge, judged
from graphmem.ir.errors import BrokenInvariantError
from graphmem.ir.recompute import Course
from tests.checkpoint.questions import question

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
    with pytest.raises(BrokenInvariantError, match="pinned"):
        judged(pinned, [0, 1, 2, 0, 3], "")
