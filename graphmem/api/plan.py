"""Path -> Plan: every activation of a model, or any lifetimes, in one arena; and the plan executed for real."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from graphmem.api.analyze import ONNXRUNTIME, analyze
from graphmem.ir.errors import ModelError, OptionError
from graphmem.ir.execution import Execution
from graphmem.ir.graph import Graph
from graphmem.ir.keywords import ReadingKeywords, takes
from graphmem.ir.memory import Lifetimes, Plan
from graphmem.ir.options import ORDERS
from graphmem.memory.reorder import least_peak_order
from graphmem.planner import Options
from graphmem.planner import plan as planned
from graphmem.schedule.inference import preceding_steps
from graphmem.schedule.inference_figures import Order

if TYPE_CHECKING:
    from typing_extensions import Unpack


@takes(ReadingKeywords)
def plan(
    path: str | Path,
    dims: Mapping[str, int] | None = None,
    *,
    memory_model: str = "views",
    order: str = "file",
    alignment: int = 64,
    capacity: int | None = None,
    timeout: float | None = 60.0,
    **reading: Unpack[ReadingKeywords],
) -> Plan:
    """Offsets in one arena for every activation of the model, verified, with a proved lower bound.

    Args:
        path: the model, as for `analyze`.
        dims: numbers for free dimensions.
        memory_model: "plain", "views" or "inplace".
        order: "file"; with "memory" the order of a lower peak is planned too, and the smaller arena taken. The bound is
            that of the order taken.
        alignment: of every offset, 1..4096 bytes.
        capacity: bytes that the arena should fit in.
        timeout: seconds after which the best plan so far is taken.
        reading: how to read the file where it does not say.

    Raises:
        ModelError, OptionError: as `analyze` does, and ModelError when a tensor's size is not known.
    """
    graph = _sized_graph(path, dims, memory_model, order, reading)
    options = Options(alignment=alignment, capacity=capacity, timeout=timeout)
    return _best_plan(graph, memory_model, order, options)[0]


def plan_lifetimes(
    alive: Lifetimes, *, alignment: int = 64, capacity: int | None = None, timeout: float | None = 60.0
) -> Plan:
    """A plan of any lifetimes, such as those of a training step; `graphmem.planner.plan` takes every other option."""
    return planned(alive, Options(alignment=alignment, capacity=capacity, timeout=timeout))


@takes(ReadingKeywords)
def execute(
    path: str | Path,
    dims: Mapping[str, int] | None = None,
    *,
    memory_model: str = "views",
    order: str = "file",
    alignment: int = 64,
    capacity: int | None = None,
    timeout: float | None = 60.0,
    seed: int = 0,
    **reading: Unpack[ReadingKeywords],
) -> tuple[Plan, Execution]:
    """A plan as of `plan`, and what came of running the model inside it with onnxruntime, on inputs made from `seed`.

    Weights that the file does not hold are made up.

    Args:
        path: as for `plan`, like all further options.
        dims: numbers for free dimensions.
        memory_model: as for `plan`.
        order: as for `plan`.
        alignment: as for `plan`.
        capacity: as for `plan`.
        timeout: as for `plan`.
        seed: of the inputs.
        reading: how to read the file where it does not say.

    Raises:
        ModelError: as `plan` does, and when onnxruntime refuses the model.
    """
    from graphmem.measure.execute import execute as executed
    from graphmem.reader.load import load

    graph = _sized_graph(path, dims, memory_model, order, reading)
    options = Options(alignment=alignment, capacity=capacity, timeout=timeout)
    made, run = _best_plan(graph, memory_model, order, options)
    return made, executed(load(Path(path)), Path(path).parent, graph, run.nodes, run.schedule, made, seed)


def _sized_graph(
    path: str | Path, dims: Mapping[str, int] | None, memory_model: str, order: str, reading: ReadingKeywords
) -> Graph:
    """The graph; ModelError when a tensor's size is not known."""
    if order not in (*ORDERS, ONNXRUNTIME):
        raise OptionError(f"order '{order}' is not one of {', '.join((*ORDERS, ONNXRUNTIME))}")
    analysis = analyze(path, dims, memory_model=memory_model, **reading)
    if analysis.exactness == "at least":
        missing = next(issue for issue in analysis.issues if issue.effect == "at least")
        raise ModelError(f"a plan needs the size of every tensor; {missing.where}: {missing.what}")
    return analysis.graph


def _best_plan(graph: Graph, memory_model: str, order: str, options: Options) -> tuple[Plan, Order]:
    """The plan of the file's order; with "memory", of the order of a lower peak where that lowers the arena."""
    began = monotonic()
    run = Order.of(graph, memory_model, None)
    best = planned(run.lifetimes, options), run
    if order == "memory":
        other = Order.of(graph, memory_model, least_peak_order(run.schedule, preceding_steps(graph)).steps)
        if options.timeout is not None:
            options = replace(options, timeout=max(0.0, options.timeout - (monotonic() - began)))
        candidate = planned(other.lifetimes, options), other
        best = min((best, candidate), key=lambda each: each[0].arena)
    return best
