"""What the solvers of one component share: the problem, its keys, what is aimed at, and the means."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from graphmem.ir.memory import IntColumn
from graphmem.planner.kernel import Kernel
from graphmem.planner.orders import Keys
from graphmem.planner.problem import Problem


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Pack `problem` to end at or below `goal` units if possible, else below `capacity`, before the deadline."""

    problem: Problem
    keys: Keys
    goal: int
    capacity: int | None
    kernel: Kernel
    deadline: float

    @property
    def is_late(self) -> bool:
        """Whether the deadline, in seconds of time.monotonic(), has passed."""
        return monotonic() > self.deadline

    @property
    def sections(self) -> IntColumn:
        """Sections that each row lives in."""
        return self.problem.stop - self.problem.start
