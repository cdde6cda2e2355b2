"""Recompute: the question "what to keep and what to compute again", its answers, and the frontier they form.

Operations are numbered in a base order in which every read follows its write. A course may compute a value again; each
computation makes an *instance* of the value, alive from that step through the last read before the next instance.

    operations   0: a   1: b = f(a)   2: c = g(b)   3: d = h(a, c)
    keep all     a b c d         a is alive in steps 0..3
    recompute a  a b c a d       a is alive in steps 0..1 and 3..4; the cost of a is paid twice
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Operation:
    """One computation and the bytes of the value it makes. `cost` is any unit of time, the same in the whole question.

    A pinned operation is never computed twice (random, in place, collective).
    """

    name: str
    nbytes: int
    cost: int
    backward: bool = False
    pinned: bool = False
    scope: str = ""
    operator: str = ""


@dataclass(frozen=True)
class Recompute:
    """The question. `reads[i]` are the operations whose values operation i reads, each once, all before i.

    With `keep_order` the first computations follow the base order; `resident` bytes are alive throughout.
    """

    operations: tuple[Operation, ...]
    reads: tuple[tuple[int, ...], ...]
    keep_order: bool = True
    resident: int = 0
    name: str = ""

    def __len__(self) -> int:
        return len(self.operations)

    @cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """Per operation, the operations that read its value, ascending."""
        found: list[list[int]] = [[] for _ in self.operations]
        for reader, sources in enumerate(self.reads):
            for source in sources:
                found[source].append(reader)
        return tuple(map(tuple, found))

    @cached_property
    def total_cost(self) -> int:
        """The cost of computing everything once."""
        return sum(operation.cost for operation in self.operations)

    @cached_property
    def first_backward(self) -> int:
        """The first operation of the backward pass; the number of operations when none is flagged."""
        flagged = (i for i, operation in enumerate(self.operations) if operation.backward)
        return next(flagged, len(self.operations))

    def in_free_order(self) -> Recompute:
        """The same question without the base order."""
        return replace(self, keep_order=False)


@dataclass(frozen=True, slots=True)
class Course:
    """An answer: computations in order, and the values that are freed after each of them."""

    order: tuple[int, ...]
    frees: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """A course with its peak bytes and its cost, as the evaluator found them, and the strategy that proposed it."""

    course: Course
    peak: int
    cost: int
    strategy: str


@dataclass(frozen=True, slots=True)
class Point:
    """The best course found for a budget. `bound` is a proved lower bound on the cost of any course within it."""

    budget: int
    judged: Judged
    bound: int

    @property
    def is_optimal(self) -> bool:
        """True when no course within the budget costs less; proved."""
        return self.judged.cost == self.bound


@dataclass(frozen=True, slots=True)
class Impossible:
    """No course fits the budget: `floor` bytes are needed by `operation` alone, whatever is recomputed (proved)."""

    budget: int
    floor: int
    operation: int


@dataclass(frozen=True, slots=True)
class Unreached:
    """No course within the budget was found, though none of our bounds rules it out; `least` is the best peak found."""

    budget: int
    floor: int
    least: Judged


@dataclass(frozen=True, slots=True)
class Frontier:
    """Points from keep-all down to the least peak found: each costs more than the one before and needs fewer bytes."""

    question: Recompute
    baseline: Judged
    points: tuple[Point, ...]
    floor: int
    floor_operation: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wrap:
    """torch.utils.checkpoint around the calls of a module; `keep` is a selective policy: calls whose results stay.

    A kept call is its ATen name and how many calls of that name ran before it in the module: "addmm#2".
    """

    scope: str
    module: str
    keep: tuple[str, ...] = ()

    @property
    def spec(self) -> str:
        """As `graphmem train --checkpoint` takes it."""
        return f"{self.scope}:keep={','.join(self.keep)}" if self.keep else self.scope


@dataclass(frozen=True, slots=True)
class WrapPlan:
    """Wraps with the peak of the step that has them, the cost of what it computes again, and the names of that."""

    wraps: tuple[Wrap, ...]
    peak: int
    again: int
    strategy: str
    names: tuple[str, ...] = ()

    @property
    def grain(self) -> str:
        """One of "module" for plain wraps and "selective" when some wrap has a policy."""
        return "selective" if any(w.keep for w in self.wraps) else "module"


@dataclass(frozen=True, slots=True)
class Habit:
    """What is done without a plan (every block, every 2nd ...); `best` is the least recomputation found at its peak."""

    title: str
    plan: WrapPlan
    best: int


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Bytes that are alive at the least peak reached, and what they are."""

    what: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class ModelFrontier:
    """What `graphmem.checkpoint_frontier` returns: the trade of a model's training step at three grains.

    `operations` are courses judged by the question's evaluator, `wraps` plans judged by running the step with them.
    Both are non-dominated, from least cost down to the least peak; with a `budget` the best within it, one of a grain.
    """

    operations: Frontier
    wraps: tuple[WrapPlan, ...]
    practice: tuple[Habit, ...]
    obstacles: tuple[Obstacle, ...]
    advice: str
    exactness: str
    least: int  # peak that any plan reaches, whatever the budget
    budget: int | None = None
