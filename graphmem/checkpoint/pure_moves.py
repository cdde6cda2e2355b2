"""The moves of the sequence annealing in pure Python, and the annealing itself: the algorithm of _kernel.c."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graphmem.checkpoint.pure import Heat, Random, Tape
from graphmem.ir.recompute import Recompute

DEPTH = 40  # of a chain of computations added or removed together
SOURCES = 16  # of one computation that may be added with it


def anneal(
    question: Recompute,
    order: Sequence[int],
    budget: int,
    heat: Heat,
    seed: int,
    logs: Sequence[float],
    stop: NDArray[np.int64],
) -> tuple[list[int], bool]:
    """(the cheapest order within the budget, True), or (the one with the least bytes over it, False); see kernel.py."""
    tape = Tape(question, budget, Random(seed))
    tape.lay_out(order)
    best, least, found = list(order), None, tape.cost if not tape.area else -1
    warmth, weight, inside = heat.hot, heat.weight, 0
    block = min(1000, max(20, heat.rounds // 400))  # rounds between changes of heat and weight
    for round_ in range(heat.rounds):
        if round_ and round_ % block == 0:
            if stop[0]:
                break
            warmth, weight = _cooled(heat, round_), weight * (0.92 if inside * 2 > block else 1.08)
            inside = 0
            tape.lay_out(tape.order())
        inside += not tape.area
        if not _step(tape, heat, warmth, weight, logs):
            continue
        if (found < 0 and (least is None or tape.area < least)) if tape.area else (found < 0 or tape.cost < found):
            least = tape.area
            found = found if tape.area else tape.cost
            best = tape.order()
    return best, found >= 0


def _cooled(heat: Heat, round_: int) -> float:
    warmth = heat.hot + (heat.cold - heat.hot) * (float(round_) / float(heat.rounds))
    return max(heat.cold, warmth * warmth / heat.hot)


def _step(tape: Tape, heat: Heat, warmth: float, weight: float, logs: Sequence[float]) -> bool:
    """Try one move; whether it was accepted."""
    area, cost = tape.area, tape.cost
    kind = tape.random.below(100)
    tape.before.clear()
    tape.changes.clear()
    move = _add if kind < heat.adds else _remove if kind < heat.adds + heat.removes else _shift
    if not move(tape):
        if tape.changes:
            tape.undo(area, {})
        return False
    limit = warmth * logs[tape.random.below(len(logs))]
    if (tape.cost - cost) - weight * area > limit:  # not even if nothing were over the budget
        tape.undo(area, {})
        return False
    after = tape.settle()
    if (tape.cost - cost) + weight * (tape.area - area) > limit:
        tape.undo(area, after)
        return False
    return True


def _add(tape: Tape) -> bool:
    value = tape.random.below(len(tape.reads))
    readers = tape.readers[value]
    if not readers or len(tape.at[value]) >= tape.most[value]:
        return False
    reader = readers[tape.random.below(len(readers))]
    slot = tape.at[reader][tape.random.below(len(tape.at[reader]))]
    return _insert_before(tape, value, slot, 0)


def _insert_before(tape: Tape, value: int, slot: int, depth: int) -> bool:
    """Compute the value before the slot; each source that would have to live on for it perhaps too."""
    place = tape.empty_before(slot, tape.at[value][tape.instance(value, slot)])
    if place < 0:
        return False
    wanted: list[int] = []
    for u in tape.reads[value] if depth < DEPTH else ():
        if len(wanted) == SOURCES:
            break
        if len(tape.at[u]) < tape.most[u] and tape.last_read(u, place) < place and tape.random.coin():
            wanted.append(u)
    if not tape.change(True, value, place):
        return False
    for u in wanted:
        if len(tape.at[u]) < tape.most[u]:
            _insert_before(tape, u, place, depth + 1)
    return True


def _may_go(tape: Tape, value: int, i: int) -> bool:
    at = tape.at[value]
    return len(at) > 1 and (i > 0 or (tape.is_free and tape.last_read(value, at[i]) == at[i]))


def _remove(tape: Tape) -> bool:
    if not tape.extras:
        return False
    value = tape.extras[tape.random.below(len(tape.extras))]
    i = tape.random.below(len(tape.at[value]))
    return _may_go(tape, value, i) and _remove_instance(tape, value, i, 0)


def _remove_instance(tape: Tape, value: int, i: int, depth: int) -> bool:
    """Drop one computation, and those of its sources that nothing reads any more."""
    slot = tape.at[value][i]
    if not tape.change(False, value, slot):
        return False
    for u in tape.reads[value] if depth < DEPTH else ():
        k = tape.instance(u, slot)
        at = tape.at[u][k]
        if len(tape.at[u]) > 1 and tape.last_read(u, at) == at and _may_go(tape, u, k):
            _remove_instance(tape, u, k, depth + 1)
    return True


def _shift(tape: Tape) -> bool:
    random = tape.random
    if tape.is_free and random.coin():
        value = random.below(len(tape.reads))
    elif tape.extras:
        value = tape.extras[random.below(len(tape.extras))]
    else:
        return False
    i = random.below(len(tape.at[value]))
    if not i and not tape.is_free:
        return False
    slot = tape.at[value][i]
    low, high, first = _limits(tape, value, i)
    way = random.below(4)
    if way == 0:
        target = tape.empty_before(first, low)
    else:
        target = slot - 24 + random.below(48) if way == 1 else low + 1 + random.below(high - low)
    if not low < target < high or tape.tape[target] >= 0 or len(tape.changes) > 126:
        return False
    return tape.change(False, value, slot) and tape.change(True, value, target)


def _limits(tape: Tape, value: int, i: int) -> tuple[int, int, int]:
    """The slots between which instance i may go, and that of its first read (or the upper limit)."""
    at = tape.at[value]
    low = max([at[i - 1] if i else -1, *(tape.at[u][0] for u in tape.reads[value])])
    high = at[i + 1] if i + 1 < len(at) else tape.slots
    first = min([high, *(s for w in tape.readers[value] for s in tape.at[w] if s > at[i])])
    return low, (high if i else min(high, first)), first
