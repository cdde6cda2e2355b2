"""Problem, packing -> a packing at least as good, by OR-Tools' CP-SAT: an optional second opinion (extra `ortools`).

A two-dimensional no-overlap of fixed spans of time and free offsets. It is complete, but on the hard public instances
far weaker than our own search (docs/planner.md), so it is worth a try only where that has not proved its plan optimal.
"""

from __future__ import annotations

from time import monotonic

import numpy as np

from graphmem.ir.errors import OptionError
from graphmem.planner.greedy import Packing
from graphmem.planner.problem import Problem

WORK_LIMIT = 30.0  # deterministic seconds of CP-SAT, so that plans repeat


def second_opinion(problem: Problem, packing: Packing, bound: int, deadline: float) -> tuple[Packing, int]:
    """(the better of `packing` and CP-SAT's, the better bound), both in units."""
    try:
        from ortools.sat.python import cp_model
    except ImportError as error:
        raise OptionError(
            "the second opinion needs OR-Tools; install it with: pip install 'graphmem[ortools]'"
        ) from error
    model = cp_model.CpModel()
    top = model.new_int_var(bound, packing.top, "top")
    offsets, times, spaces = [], [], []
    for i in range(len(problem)):
        size, step, fixed = int(problem.size[i]), int(problem.step[i]), int(problem.fixed[i])
        slot = model.new_int_var(0, max(packing.top // step, fixed), f"slot{i}")
        if fixed >= 0:
            model.add(slot * step == fixed)
        model.add(slot * step + size <= top)
        model.add_hint(slot, int(packing.offsets[i]) // step)
        offsets.append((slot, step))
        begin, end = int(problem.start[i]), int(problem.stop[i])
        times.append(model.new_fixed_size_interval_var(begin, end - begin, f"time{i}"))
        spaces.append(model.new_interval_var(slot * step, size, slot * step + size, f"space{i}"))
    model.add_no_overlap_2d(times, spaces)
    model.minimize(top)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 1
    solver.parameters.max_deterministic_time = WORK_LIMIT
    solver.parameters.max_time_in_seconds = max(0.1, min(deadline - monotonic(), 1e6))
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return packing, bound
    proved = max(bound, int(solver.best_objective_bound))
    found = np.array([solver.value(slot) * step for slot, step in offsets], dtype=np.int64)
    height = int((found + problem.size).max())
    return (Packing(found, height, "cp-sat") if height < packing.top else packing), proved
