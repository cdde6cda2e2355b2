"""States or an order -> a better order of computations: the algorithm of _kernel.c in pure Python.

The annealing works on a tape: four slots per computation, three of them empty, so that a computation can be put in
nearly anywhere without moving others; now and then it is laid out afresh. `live[slot]` is the number of bytes alive in
a slot, or that would be if something were computed there. A value's instance spans its slot through the last read
before the next instance. A move changes some instances; the spans of those values and of their sources are compared
before and after, and only where they differ is `live` updated, with `area`, the bytes over the budget summed over the
computations.

States say of every value that it is kept, or dropped at a stage and computed again when asked for. A stage is the first
computation of one operation, in base order. Value v is dropped at stage `cut[v]` (the number of operations when it is
kept): later stages find it only where it has been computed again since, and if it is transient only in the stage that
did so. What is asked for and missing is computed right before, and so are its own sources.

Three states per value: kept (no cut), computed again and kept (cut), computed again and dropped (cut, transient).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphmem.ir.recompute import Recompute

CAP = 6
STRIDE = 4
_MASK = (1 << 64) - 1
Spans = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Heat:
    """How a run cools, all in units of cost: from `hot` to `cold`, paying `weight` per byte over the budget."""

    hot: float
    cold: float
    weight: float
    rounds: int
    adds: int = 45  # percent of the moves that add a computation
    removes: int = 25


class Random:
    """splitmix64 (Steele, Lea and Flood 2014)."""

    def __init__(self, seed: int) -> None:
        self.state = seed & _MASK

    def draw(self) -> int:
        """64 bits."""
        self.state = (self.state + 0x9E3779B97F4A7C15) & _MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def below(self, count: int) -> int:
        """A number from 0 to count - 1."""
        return (self.draw() >> 33) % count

    def coin(self) -> bool:
        """The top bit."""
        return bool(self.draw() >> 63)


class Tape:
    """The computations on their slots, and what they cost."""

    def __init__(self, question: Recompute, budget: int, random: Random) -> None:
        operations = question.operations
        self.reads, self.readers = question.reads, question.readers
        self.size = [o.nbytes for o in operations]
        self.price = [o.cost for o in operations]
        self.most = [1 if o.pinned else CAP for o in operations]
        self.budget, self.random, self.is_free = budget, random, not question.keep_order
        self.area = self.cost = self.slots = 0
        self.tape: list[int] = []
        self.live: list[int] = []
        self.at: list[list[int]] = []
        self.extras: list[int] = []
        self.before: dict[int, Spans] = {}
        self.changes: list[tuple[bool, int, int]] = []

    def lay_out(self, order: Sequence[int]) -> None:
        """Spread the computations, and count the bytes alive from scratch."""
        self.slots = STRIDE * (len(order) + 1)
        self.tape, self.live = [-1] * self.slots, [0] * self.slots
        self.at = [[] for _ in self.reads]
        self.extras, self.cost = [], 0
        for k, value in enumerate(order):
            self.put(value, STRIDE * k + STRIDE - 1)
        self.area = 0
        alive: set[int] = set()
        total = 0
        for k in range(self.slots - 1, -1, -1):
            value = self.tape[k]
            if value < 0:
                self.live[k] = total
                continue
            here = total if value in alive else total + self.size[value]
            if value in alive:
                alive.remove(value)
                total -= self.size[value]
            for u in self.reads[value]:
                if u not in alive:
                    alive.add(u)
                    here += self.size[u]
                    total += self.size[u]
            self.live[k] = here
            self.area += max(0, here - self.budget)

    def order(self) -> list[int]:
        """The computations in order."""
        return [value for value in self.tape if value >= 0]

    def spans(self, u: int) -> Spans:
        """Slot and last read of every instance of a value."""
        at = self.at[u]
        stop = list(at)
        for w in self.readers[u]:
            for slot in self.at[w]:
                i = self.instance(u, slot, inclusive=True)
                stop[i] = max(stop[i], slot)
        return list(zip(at, stop, strict=True))

    def instance(self, u: int, slot: int, inclusive: bool = False) -> int:
        """The last instance of u before the slot (or at it); the first one when there is none."""
        at = self.at[u]
        i = len(at) - 1
        while i > 0 and (at[i] > slot if inclusive else at[i] >= slot):
            i -= 1
        return i

    def last_read(self, u: int, slot: int) -> int:
        """The last read of the instance of u that serves the slot."""
        at = self.at[u]
        i = self.instance(u, slot, inclusive=True)
        until = at[i + 1] if i + 1 < len(at) else self.slots
        return max([at[i], *(s for w in self.readers[u] for s in self.at[w] if s < until)])

    def put(self, value: int, slot: int) -> None:
        """A computation into an empty slot; spans are settled later."""
        at = self.at[value]
        at.append(slot)
        at.sort()
        self.tape[slot] = value
        self.area += max(0, self.live[slot] - self.budget)
        self.cost += self.price[value]
        if len(at) == 2:
            self.extras.append(value)

    def take_out(self, value: int, slot: int) -> None:
        """The opposite."""
        at = self.at[value]
        at.remove(slot)
        self.tape[slot] = -1
        self.area -= max(0, self.live[slot] - self.budget)
        self.cost -= self.price[value]
        if len(at) == 1:
            rank = self.extras.index(value)
            last = self.extras.pop()
            if rank < len(self.extras):
                self.extras[rank] = last

    def change(self, insert: bool, value: int, slot: int) -> bool:
        """Do it and remember it, with the spans that it will change; False when a move grows too great."""
        if len(self.changes) == 128:
            return False
        self.changes.append((insert, value, slot))
        for u in (value, *self.reads[value]):
            if u not in self.before:
                self.before[u] = self.spans(u)
        (self.put if insert else self.take_out)(value, slot)
        return True

    def settle(self) -> dict[int, Spans]:
        """Bring `live` and `area` up to date with the changes; the spans after them."""
        after = {u: self.spans(u) for u in self.before}
        for u, spans in after.items():
            self._shift(u, self.before[u], spans)
        return after

    def _shift(self, u: int, old: Spans, new: Spans) -> None:
        steps: dict[int, int] = {}
        for sign, spans in ((-1, old), (1, new)):
            for start, stop in spans:
                steps[start] = steps.get(start, 0) + sign
                steps[stop + 1] = steps.get(stop + 1, 0) - sign
        level, where = 0, 0
        for slot in sorted(steps):
            if level:
                self._add(where, slot, level * self.size[u])
            level, where = level + steps[slot], slot

    def _add(self, start: int, stop: int, nbytes: int) -> None:
        for k in range(start, stop):
            now = self.live[k]
            self.live[k] = now + nbytes
            if self.tape[k] >= 0:
                self.area += max(0, now + nbytes - self.budget) - max(0, now - self.budget)

    def undo(self, area: int, after: dict[int, Spans]) -> None:
        """Take the changes back, and the spans if they were settled."""
        for u, spans in after.items():
            self._shift(u, spans, self.before[u])
        while self.changes:
            insert, value, slot = self.changes.pop()
            (self.take_out if insert else self.put)(value, slot)
        self.area = area

    def empty_before(self, slot: int, above: int) -> int:
        """The next empty slot on the left; -1 when it is not above a slot, or far."""
        return next((k for k in range(slot - 1, max(above, slot - 64), -1) if self.tape[k] < 0), -1)


def expand(reads: Sequence[Sequence[int]], cut: Sequence[int], transient: Sequence[int], most: int) -> list[int] | None:
    """The order of computations; None when it is longer than `most`."""
    order: list[int] = []
    newest = [-1] * len(reads)  # per value, the stage of its newest instance
    for stage in range(len(reads)):
        todo = [stage]
        while todo:
            value = todo[-1]
            missing = [u for u in reads[value] if not _is_there(u, stage, newest, cut, transient)]
            if missing:
                todo.append(missing[0])
                continue
            todo.pop()
            order.append(value)
            newest[value] = stage
            if len(order) > most:
                return None
    return order


def _is_there(u: int, stage: int, newest: list[int], cut: Sequence[int], transient: Sequence[int]) -> bool:
    if stage < cut[u] or newest[u] == stage:
        return True
    return newest[u] >= cut[u] and not transient[u]


def profile(reads: Sequence[Sequence[int]], size: Sequence[int], order: Sequence[int]) -> list[int]:
    """Bytes alive in every step, counted backwards: alive is what a later step reads before its next instance."""
    alive: set[int] = set()
    total = 0
    live = [0] * len(order)
    for step in range(len(order) - 1, -1, -1):
        value = order[step]
        for u in reads[value]:
            if u not in alive:
                alive.add(u)
                total += size[u]
        live[step] = total if value in alive else total + size[value]
        if value in alive:
            alive.remove(value)
            total -= size[value]
    return live
