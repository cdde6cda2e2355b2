"""The three inner loops of the planner, compiled when the C extension is there and pure Python when not.

Both give the same results, so the choice is one of speed and a parameter of the planner (`compiled=`), never of the
environment. docs/planner.md tells why a C extension, and how it is built.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import numpy as np

from graphmem.ir.errors import OptionError
from graphmem.ir.memory import IntColumn
from graphmem.planner import pure_placing, pure_search
from graphmem.planner.problem import Problem


def extension() -> ModuleType | None:
    """The compiled module, or None where it was not built."""
    try:
        return import_module("graphmem.planner._kernel")
    except ImportError:
        return None


class Kernel:
    """The inner loops, by the extension or by pure Python; `compiled=None` takes the extension if it is there."""

    def __init__(self, compiled: bool | None = None) -> None:
        self._extension = extension() if compiled is not False else None
        if compiled and self._extension is None:
            raise OptionError(
                "the compiled planner was asked for but is not built; reinstall where a C compiler is found"
            )

    @property
    def is_compiled(self) -> bool:
        """Whether the C extension does the work."""
        return self._extension is not None

    def skyline(self, problem: Problem, rank: IntColumn) -> IntColumn:
        """Offsets in units by the skyline rule, highest rank first."""
        if self._extension is None:
            return np.array(pure_placing.skyline(problem, rank), dtype=np.int64)
        offset = np.zeros(len(problem), dtype=np.int64)
        columns = _contiguous(problem.start, problem.stop, problem.size, rank)
        self._extension.skyline(len(problem), problem.sections, *_addresses(columns), offset.ctypes.data)
        return offset

    def first_fit(self, problem: Problem, order: IntColumn, best_fit: bool = False) -> IntColumn:
        """Offsets in units, buffer after buffer into the lowest (or tightest) gap; fixed offsets first in `order`."""
        if self._extension is None:
            return np.array(pure_placing.first_fit(problem, order, best_fit), dtype=np.int64)
        offset = np.zeros(len(problem), dtype=np.int64)
        columns = _contiguous(problem.start, problem.stop, problem.size, problem.step, problem.fixed, order)
        shape = (len(problem), problem.sections)
        self._extension.first_fit(*shape, *_addresses(columns), int(best_fit), offset.ctypes.data)
        return offset

    def search(
        self, problem: Problem, rank: IntColumn, weight: IntColumn, capacity: int, limit: int, deadline: float
    ) -> tuple[int, int, IntColumn]:
        """(status, nodes, offsets in units); only pure Python, which is slow enough, reads the deadline."""
        if self._extension is None:
            status, nodes, offsets = pure_search.search(problem, rank, weight, capacity, limit, deadline)
            return status, nodes, np.array(offsets, dtype=np.int64)
        offset = np.zeros(len(problem), dtype=np.int64)
        columns = _contiguous(problem.start, problem.stop, problem.size, rank, weight)
        shape = (len(problem), problem.sections)
        status, nodes = self._extension.search(*shape, *_addresses(columns), capacity, limit, offset.ctypes.data)
        weight[:] = columns[-1]
        return status, nodes, offset


def _contiguous(*columns: IntColumn) -> list[IntColumn]:
    return [np.ascontiguousarray(column, dtype=np.int64) for column in columns]


def _addresses(columns: list[IntColumn]) -> list[int]:
    return [int(column.ctypes.data) for column in columns]
