"""MOCCASIN's own solver beside ours, on the same questions, budgets, seconds and cores.

    python benchmarks/checkpoint_moccasin.py SOURCES [--timeout S] [INSTANCE:RATIO ...]

SOURCES is a checkout of github.com/haoming-codes/moccasin (ICML 2023, arXiv 2304.14463), which needs networkx and
ortools. Its 16 search workers are set to the cores of this machine; our evaluator judges what either returns.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import os
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import networkx
from ortools.sat.python import cp_model

from graphmem.checkpoint.evaluate import judged
from graphmem.checkpoint.problem_file import parsed
from graphmem.checkpoint.solve import solve
from graphmem.ir.recompute import Point, Recompute

DATA = Path(__file__).parents[1].parent / "shared" / "data" / "checkpoint"
ASKED = ("rl100:0.9", "rl100:0.8", "fcn8:0.9", "fcn8:0.8", "rn50:0.9", "rn50:0.8")


def prepared(sources: Path) -> Any:
    """Their `remat`, on as many workers as there are cores; the part of it that needs rockmate is not called."""
    stub: Any = types.ModuleType("rockmate.def_op")
    stub.RunOp = stub.DelOp = stub.OpSchedule = object
    sys.modules["rockmate"], sys.modules["rockmate.def_op"] = types.ModuleType("rockmate"), stub
    sys.path.insert(0, str(sources / "src"))

    def on_these_cores(self: Any, model: Any, callback: Any) -> Any:
        self.parameters.num_search_workers = os.cpu_count() or 1
        self.parameters.log_search_progress = False
        return self.solve(model, callback)

    cp_model.CpSolver.SolveWithSolutionCallback = on_these_cores
    for name in ("add_cumulative", "add_reservoir_constraint_with_active", "add_reservoir_constraint"):
        setattr(cp_model.CpModel, name, _taking_iterators(getattr(cp_model.CpModel, name)))
    cp_model.CpModel.Proto = lambda self: types.SimpleNamespace(ClearField=lambda _: self.clear_objective())
    cp_model.CpModel.AddCumulative = cp_model.CpModel.add_cumulative
    cp_model.CpModel.AddReservoirConstraintWithActive = cp_model.CpModel.add_reservoir_constraint_with_active
    from moccasin.cp import remat  # type: ignore[import-not-found]

    return remat


def _taking_iterators(method: Any) -> Any:
    """Releases of ortools after theirs want lists."""
    return lambda self, *args: method(self, *(list(a) if isinstance(a, Iterator) else a for a in args))


def graph_of(question: Recompute, name: str) -> Any:
    """The question as they take it."""
    graph = networkx.DiGraph(name=name)
    for number, operation in enumerate(question.operations):
        graph.add_node(number, cost_ram=operation.nbytes, cost_cpu=operation.cost, name=str(number))
        graph.add_edges_from((read, number) for read in question.reads[number])
    return graph


def theirs(remat: Any, question: Recompute, budget: int, timeout: float, name: str) -> tuple[float | None, float]:
    """Their overhead in percent, by our evaluator, and seconds; None without a course within the budget."""
    start = perf_counter()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        found = remat(
            graph_of(question, name), B=budget, C=2, timeout=timeout / 2, topo_order=list(range(len(question))),
            log_dir=folder,
        )  # fmt: skip
    seconds = perf_counter() - start
    if not found or "schedule" not in found:
        return None, seconds
    course = judged(question, found["schedule"], "MOCCASIN")
    return (_percent(question, course.cost) if course.peak <= budget else None), seconds


def _percent(question: Recompute, cost: int) -> float:
    return (cost / question.total_cost - 1) * 100


def main() -> None:
    """A line per question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path)
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("asked", nargs="*", default=ASKED)
    given = parser.parse_intermixed_args()
    remat = prepared(given.sources.resolve())
    print(f"{'question':12} {'theirs %':>9} {'s':>6} {'ours %':>9} {'s':>6}")
    for text in given.asked:
        name, _, ratio = text.partition(":")
        path = DATA / f"{name}.json"
        question = parsed(path.read_text(), path.name, True)
        budget = math.floor(judged(question, range(len(question)), "keep-all").peak * float(ratio))
        overhead, seconds = theirs(remat, question, budget, given.timeout, name)
        start = perf_counter()
        ours = solve(question, budget, timeout=given.timeout)
        mine = f"{_percent(question, ours.judged.cost):.4f}" if isinstance(ours, Point) else "-"
        other = f"{overhead:.4f}" if overhead is not None else "none"
        print(f"{text:12} {other:>9} {seconds:6.1f} {mine:>9} {perf_counter() - start:6.1f}", flush=True)


if __name__ == "__main__":
    main()
