"""The inner loops of the search, compiled when the C extension is there and pure Python when not.

Both give the same courses, so the choice is one of speed and a parameter (`compiled=`), never of the environment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from types import ModuleType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from graphmem.checkpoint import pure as pure_states
from graphmem.checkpoint import pure_moves
from graphmem.checkpoint.pure import CAP, Heat
from graphmem.ir.errors import OptionError
from graphmem.ir.recompute import Recompute

Column: TypeAlias = NDArray[np.int64]

INSTANCES = CAP  # at most this often is one value computed by the sequence search
TABLE = 1024
# -log of the middle of each of TABLE parts of (0, 1): a table, so that no libm decides what the search accepts.
LOGS = tuple(round(-math.log((i + 0.5) / TABLE) * 65536) / 65536 for i in range(TABLE))


def extension() -> ModuleType | None:
    """The compiled module, or None where it was not built."""
    try:
        return import_module("graphmem.checkpoint._kernel")
    except ImportError:
        return None


@dataclass(frozen=True)
class Kernel:
    """The inner loops for one question; `compiled=None` takes the extension if it is there."""

    question: Recompute
    compiled: bool | None = None

    @cached_property
    def _extension(self) -> ModuleType | None:
        found = extension() if self.compiled is not False else None
        if self.compiled and found is None:
            raise OptionError(
                "the compiled search was asked for but is not built; reinstall where a C compiler is found"
            )
        return found

    @property
    def is_compiled(self) -> bool:
        """Whether the C extension does the work."""
        return self._extension is not None

    @cached_property
    def _net(self) -> tuple[NDArray[np.int64], ...]:
        operations = self.question.operations
        columns = [
            [o.nbytes for o in operations],
            [o.cost for o in operations],
            [1 if o.pinned else INSTANCES for o in operations],
        ]
        rows = (self.question.reads, self.question.readers)
        return (*(part for row in rows for part in _ragged(row)), *(np.array(c, dtype=np.int64) for c in columns))

    @cached_property
    def _addresses(self) -> tuple[int, ...]:
        return (len(self.question), *(column.ctypes.data for column in self._net))

    def states(self, cut: Column, transient: Column) -> tuple[Column, int, int] | None:
        """(order, peak, cost) of a choice of states; None when the order would be absurdly long."""
        most = 8 * len(self.question) + 8
        if self._extension is None:
            order = pure_states.expand(self.question.reads, cut.tolist(), transient.tolist(), most)
            return None if order is None else (np.array(order, dtype=np.int64), *self.measure(order))
        out = np.zeros(most, dtype=np.int64)
        columns = [np.ascontiguousarray(column, dtype=np.int64) for column in (cut, transient)]
        length, peak, cost = self._extension.states(
            *self._addresses, *(column.ctypes.data for column in columns), most, out.ctypes.data
        )
        return (out[:length], peak + self.question.resident, cost) if length else None

    def measure(self, order: Sequence[int]) -> tuple[int, int]:
        """Peak bytes and cost of an order of computations."""
        if self._extension is None:
            sizes, costs = self._net[4].tolist(), self._net[5].tolist()
            peak = max(pure_states.profile(self.question.reads, sizes, order), default=0)
            return peak + self.question.resident, sum(costs[v] for v in order)
        column = np.array(order, dtype=np.int64)
        peak, cost = self._extension.measure(*self._addresses, column.ctypes.data, len(column))
        return peak + self.question.resident, cost

    def live(self, order: Sequence[int]) -> list[int]:
        """Bytes alive in every step of an order."""
        return pure_states.profile(self.question.reads, [o.nbytes for o in self.question.operations], order)

    def sequence(
        self, order: Sequence[int], budget: int, heat: Heat, seed: int, stop: Column | None = None
    ) -> tuple[list[int], bool]:
        """(the best order annealed from `order`, whether it keeps within the budget).

        It ends early, with the best so far, once another thread sets `stop[0]`.
        """
        room = budget - self.question.resident
        flag = np.zeros(1, dtype=np.int64) if stop is None else stop
        if self._extension is None:
            return pure_moves.anneal(self.question, order, room, heat, seed, LOGS, flag)
        out = np.zeros(INSTANCES * len(self.question) + 2, dtype=np.int64)
        out[: len(order)] = order
        logs = np.array(LOGS)
        length, cost = self._extension.sequence(
            *self._addresses, out.ctypes.data, len(order), room, int(not self.question.keep_order),
            heat.rounds, seed, heat.hot, heat.cold, heat.weight, heat.adds, heat.removes,
            logs.ctypes.data, flag.ctypes.data,
        )  # fmt: skip
        return out[:length].tolist(), cost >= 0


def _ragged(rows: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of numbers as offsets and one column."""
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    offsets[1:] = np.cumsum([len(row) for row in rows])
    return offsets, np.array([x for row in rows for x in row] or [0], dtype=np.int64)
