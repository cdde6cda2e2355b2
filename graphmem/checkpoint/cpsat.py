"""Recompute, budget -> a better bound: many moments at once, in whole numbers, by OR-Tools' CP-SAT.

Moments t_0 < t_1 < ... cut a course into segments; segment k runs from the first computation of t_k to that of t_k+1.
Per value and moment: is it alive at the moment (alive), is it computed again within the segment (again)?

    alive at a moment            fits beside t_k, and what t_k reads is alive
    alive at the next moment     alive at this one, or computed in between
    computed in a segment        what it reads is alive at its start or computed within it

Bytes are counted at the moments alone and computations within a segment once, so every course within the budget obeys
(however often it computes a value): the optimum bounds them all. This is the program of Checkmate (Jain et al. 2020)
relaxed to some of its stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, gcd
from time import monotonic
from typing import Any

from graphmem.ir.errors import OptionError
from graphmem.ir.recompute import Recompute

WORKERS = 2  # searching one moment, a single one is quicker
SECONDS = 40.0  # of one proof at most, whatever its effort; only the bound depends on it, never the course


def relaxed(
    question: Recompute, budget: int, moments: Sequence[int], below: int, effort: float, deadline: float
) -> int:
    """A lower bound on the cost of recomputation (`below` when nothing costs less), after `effort` units of work."""
    try:
        from ortools.sat.python import cp_model
    except ImportError as error:
        raise OptionError("proofs need OR-Tools; install it with: pip install 'graphmem[checkpoint]'") from error
    model = cp_model.CpModel()
    program = _Program(question, budget, tuple(sorted(moments)), below, model)
    program.build()
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = min(WORKERS, len(moments))
    solver.parameters.interleave_search = True  # so that the answer does not depend on the threads' timing
    solver.parameters.random_seed = 1
    solver.parameters.max_deterministic_time = effort
    solver.parameters.max_time_in_seconds = max(0.1, min(deadline - monotonic(), SECONDS))
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return below
    least: int = ceil(solver.best_objective_bound - 1e-6) * program.unit
    return min(below, least)


@dataclass
class _Program:
    question: Recompute
    budget: int
    moments: tuple[int, ...]
    below: int
    model: Any
    alive: dict[tuple[int, int], Any] = field(default_factory=dict)
    again: dict[tuple[int, int], Any] = field(default_factory=dict)
    unit: int = 1

    def build(self) -> None:
        for k in range(len(self.moments)):
            self._moment(k)
            self._segment(k)
        for k in range(len(self.moments) - 1):
            self._room_within(k)
        costs = [self.question.operations[v].cost for v, _ in self.again]
        self.unit = max(1, gcd(*costs)) if costs else 1
        total = sum(cost // self.unit * self.again[key] for cost, key in zip(costs, self.again, strict=True))
        self.model.add(total <= (self.below - 1) // self.unit)
        self.model.minimize(total)

    def _variable(self, table: dict[tuple[int, int], Any], v: int, k: int) -> Any:
        if (v, k) not in table:
            table[v, k] = self.model.new_bool_var("")
        return table[v, k]

    def _moment(self, k: int) -> None:
        """What is alive when t_k is first computed, and that it fits."""
        stage = self.moments[k]
        operations = self.question.operations
        terms = [operations[v].nbytes * self._variable(self.alive, v, k) for v in range(stage) if self._matters(v)]
        self.model.add(sum(terms) <= self.budget - self.question.resident - operations[stage].nbytes)
        for u in self.question.reads[stage]:
            self.model.add(self.alive[u, k] == 1)

    def _matters(self, v: int) -> bool:
        return bool(self.question.readers[v])

    def _may_repeat(self, v: int) -> bool:
        operation = self.question.operations[v]
        return not operation.pinned and operation.cost < self.below

    def _segment(self, k: int) -> None:
        start = self.moments[k]
        stop = self.moments[k + 1] if k + 1 < len(self.moments) else len(self.question)
        for v in range(start):
            if self._matters(v) and self._may_repeat(v):
                self._variable(self.again, v, k)
        for v in (v for v in range(start) if (v, k) in self.again):
            for u in self.question.reads[v]:
                self._there(u, k, [self.again[v, k].negated()])
        for u in sorted({u for w in range(start + 1, stop) for u in self.question.reads[w]}):
            self._there(u, k, [])
        if k + 1 < len(self.moments):
            for v in range(start):
                if self._matters(v):
                    self._there(v, k, [self._variable(self.alive, v, k + 1).negated()])

    def _room_within(self, k: int) -> None:
        """What is computed again in segment k fits beside all that stays alive from its start to its end."""
        operations = self.question.operations
        stays = {}
        for v in range(self.moments[k] + 1):
            if (v, k + 1) not in self.alive:
                continue
            ends = [self.alive[v, k + 1], *([self.alive[v, k]] if v < self.moments[k] else [])]
            stays[v] = self.model.new_bool_var("")
            gone = [self.again[v, k]] if (v, k) in self.again else []
            self.model.add_bool_or([stays[v], *gone, *(end.negated() for end in ends)])
        total = sum(operations[v].nbytes * stay for v, stay in stays.items())
        room = self.budget - self.question.resident
        most = self.model.new_int_var(0, room, "")
        self.model.add(most >= total)
        for w in range(self.moments[k]):
            if (w, k) in self.again:
                beside = sum(operations[u].nbytes * (1 - stays.get(u, 0)) for u in self.question.reads[w])
                self.model.add(most + beside + operations[w].nbytes <= room).only_enforce_if(self.again[w, k])

    def _there(self, u: int, k: int, unless: list[Any]) -> None:
        """Value u is alive at the start of segment k or computed within it, unless."""
        if u >= self.moments[k]:
            return  # first computed within the segment
        ways = [table[u, k] for table in (self.alive, self.again) if (u, k) in table]
        self.model.add_bool_or(ways + unless)
