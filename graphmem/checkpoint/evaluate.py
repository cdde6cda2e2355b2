"""Course -> peak and cost: replays a course step by step and trusts no strategy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from graphmem.ir.errors import BrokenInvariantError
from graphmem.ir.recompute import Course, Judged, Recompute


def course_of(question: Recompute, order: Sequence[int]) -> Course:
    """The computations in `order`, each instance freed after its last read (its own step when nothing reads it)."""
    last: list[int] = list(range(len(order)))  # per step, the step after which its instance is not read any more
    newest: dict[int, int] = {}
    for step, operation in enumerate(order):
        for source in question.reads[operation]:
            if source in newest:
                last[newest[source]] = step
        newest[operation] = step
    frees: list[list[int]] = [[] for _ in order]
    for step, operation in enumerate(order):
        frees[last[step]].append(operation)
    return Course(tuple(order), tuple(tuple(sorted(freed)) for freed in frees))


def judge(question: Recompute, course: Course, strategy: str = "") -> Judged:
    """Peak bytes and cost of the course; raises when it reads, frees or computes what it must not."""
    alive: set[int] = set()
    live, peak, cost = question.resident, question.resident, 0
    for step, operation in enumerate(course.order):
        for source in question.reads[operation]:
            if source not in alive:
                raise BrokenInvariantError(
                    f"step {step} computes {operation}, but {source} which it reads is not alive"
                )
        if operation in alive:
            raise BrokenInvariantError(f"step {step} computes {operation} although its value is alive")
        alive.add(operation)
        live += question.operations[operation].nbytes
        cost += question.operations[operation].cost
        peak = max(peak, live)
        for freed in course.frees[step]:
            if freed not in alive:
                raise BrokenInvariantError(f"step {step} frees {freed}, which is not alive")
            alive.remove(freed)
            live -= question.operations[freed].nbytes
    _check_first_computations(question, course)
    return Judged(course, peak, cost, strategy)


def judged(question: Recompute, order: Sequence[int], strategy: str) -> Judged:
    """The course of an order of computations, judged."""
    return judge(question, course_of(question, order), strategy)


def _check_first_computations(question: Recompute, course: Course) -> None:
    first = tuple(dict.fromkeys(course.order))
    if sorted(first) != list(range(len(question))):
        raise BrokenInvariantError("a course must compute every operation at least once, and no other")
    if question.keep_order and first != tuple(range(len(question))):
        raise BrokenInvariantError("the first computations do not follow the base order")
    for operation, times in Counter(course.order).items():
        if times > 1 and question.operations[operation].pinned:
            raise BrokenInvariantError(f"operation {operation} is pinned but computed {times} times")
