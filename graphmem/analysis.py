"""Path -> Analysis: the whole walk, and the public API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import numpy as np

from graphmem.ir.analysis import Analysis, Inference, LiveTensor, ModelFacts
from graphmem.ir.errors import ModelError, OptionError
from graphmem.ir.execution import Execution
from graphmem.ir.graph import Graph, Node, Origin
from graphmem.ir.memory import IntColumn, Lifetimes, Plan, Timeline
from graphmem.ir.schedule import Schedule
from graphmem.ir.types import TensorType
from graphmem.memory.liveness import lifetimes, timeline
from graphmem.planner import Options
from graphmem.planner import plan as planned
from graphmem.reader import read
from graphmem.schedule.inference import MEMORY_MODELS, inference_schedule, nbytes_of, preceding_steps
from graphmem.schedule.reorder import least_peak_order

ORDERS = ("file", "memory")
GREATEST = 10


def analyze(
    path: str | Path,
    dims: Mapping[str, int] | None = None,
    *,
    batch: int | None = None,
    memory_model: str = "views",
    order: str = "file",
    strict: bool = False,
) -> Analysis:
    """The memory of one forward run of the ONNX file at `path`, found without running it.

    Args:
        path: an .onnx file (or its protobuf text or ONNX text form); external weights are not read and may be absent.
        dims: numbers for free dimensions, by symbol ("seq") or by input axis ("input_ids:1").
        batch: number for the free leading dimension of the inputs.
        memory_model: "plain", "views" or "inplace" (docs/what-the-numbers-mean.md).
        order: "file", or "memory" for a reordering that lowers the peak.
        strict: refuse a free dimension instead of taking 1.

    Raises:
        ModelError: the file is not a readable, valid model.
        OptionError: an option fits neither the model nor the choices above.
    """
    if memory_model not in MEMORY_MODELS:
        raise OptionError(f"memory model '{memory_model}' is not one of {', '.join(MEMORY_MODELS)}")
    if order not in ORDERS:
        raise OptionError(f"order '{order}' is not one of {', '.join(ORDERS)}")
    graph = read(path, dims, batch, strict)
    return Analysis(model_facts(graph, Path(path).stem), graph, inference(graph, memory_model, order))


def plan(
    path: str | Path,
    dims: Mapping[str, int] | None = None,
    *,
    batch: int | None = None,
    memory_model: str = "views",
    order: str = "file",
    strict: bool = False,
    alignment: int = 64,
    capacity: int | None = None,
    timeout: float | None = 60.0,
) -> Plan:
    """Offsets in one arena for every activation of the model, verified, with a proved lower bound.

    Args are those of `analyze`, and: `alignment` of every offset, 1..4096 bytes; `capacity`, bytes that the arena
    should fit in; `timeout`, seconds after which the best plan so far is taken. With the order "memory" the file's
    order is planned too, and the smaller arena taken; the bound is that of the order taken.

    Raises ModelError and OptionError as `analyze` does, and ModelError when a tensor's size is not known.
    """
    graph = _sized_graph(path, dims, batch, memory_model, order, strict)
    options = Options(alignment=alignment, capacity=capacity, timeout=timeout)
    return _best_plan(graph, memory_model, order, options)[0]


def plan_lifetimes(
    alive: Lifetimes, *, alignment: int = 64, capacity: int | None = None, timeout: float | None = 60.0
) -> Plan:
    """A plan of any lifetimes, such as those of a training step; `graphmem.planner.plan` takes every other option."""
    return planned(alive, Options(alignment=alignment, capacity=capacity, timeout=timeout))


def execute(
    path: str | Path,
    dims: Mapping[str, int] | None = None,
    *,
    batch: int | None = None,
    memory_model: str = "views",
    order: str = "file",
    strict: bool = False,
    alignment: int = 64,
    capacity: int | None = None,
    timeout: float | None = 60.0,
    seed: int = 0,
) -> tuple[Plan, Execution]:
    """A plan as of `plan`, and what came of running the model inside it with onnxruntime, on inputs made from `seed`.

    Weights that the file does not hold are made up. Raises ModelError when onnxruntime refuses the model.
    """
    from graphmem.measure.execute import execute as executed
    from graphmem.reader.load import load

    graph = _sized_graph(path, dims, batch, memory_model, order, strict)
    options = Options(alignment=alignment, capacity=capacity, timeout=timeout)
    made, run = _best_plan(graph, memory_model, order, options)
    return made, executed(load(Path(path)), Path(path).parent, graph, run.nodes, run.schedule, made, seed)


def _sized_graph(
    path: str | Path, dims: Mapping[str, int] | None, batch: int | None, memory_model: str, order: str, strict: bool
) -> Graph:
    """The graph; ModelError when a tensor's size is not known."""
    if order not in ORDERS:
        raise OptionError(f"order '{order}' is not one of {', '.join(ORDERS)}")
    analysis = analyze(path, dims, batch=batch, memory_model=memory_model, strict=strict)
    if analysis.exactness == "at least":
        missing = next(issue for issue in analysis.issues if issue.effect == "at least")
        raise ModelError(f"a plan needs the size of every tensor; {missing.where}: {missing.what}")
    return analysis.graph


def _best_plan(graph: Graph, memory_model: str, order: str, options: Options) -> tuple[Plan, _Run]:
    """The plan of the file's order; with "memory", of the order of a lower peak where that lowers the arena."""
    began = monotonic()
    run = _Run.of(graph, memory_model, None)
    best = planned(run.lifetimes, options), run
    if order == "memory":
        other = _Run.of(graph, memory_model, least_peak_order(run.schedule, preceding_steps(graph)).steps)
        if options.timeout is not None:
            options = replace(options, timeout=max(0.0, options.timeout - (monotonic() - began)))
        candidate = planned(other.lifetimes, options), other
        best = min((best, candidate), key=lambda each: each[0].arena)
    return best


def model_facts(graph: Graph, name: str) -> ModelFacts:
    """The model at a glance; `name` is that of the file."""
    weights = [tensor for tensor in graph.tensors.values() if tensor.role == "weight"]
    return ModelFacts(
        name=name,
        nodes=len(graph.nodes),
        parameters=_parameters(graph),
        weight_bytes=sum(nbytes_of(tensor.type) for tensor in weights),
        opsets=graph.opsets,
        inputs={name: graph.tensors[name].type for name in graph.inputs},
    )


def _parameters(graph: Graph) -> int:
    """Elements of the weights that the file holds or generates: not of those computed from others, nor of statistics.

    Wider integers and booleans are shapes and indices, scalars are literals, and the running mean and variance of a
    BatchNormalization are buffers.
    """
    held = {
        name: tensor.type.elements
        for name, tensor in graph.tensors.items()
        if tensor.role == "weight" and isinstance(tensor.type, TensorType) and _may_be_parameter(tensor.type)
    }
    others: list[str] = []
    for node in graph.nodes:
        if node.op_type == "BatchNormalization":
            others += node.inputs[3:5]
        if graph.is_weight(node) and any(name in held for name in node.inputs):
            others += node.outputs
    for name in others:
        held.pop(name, None)
    return sum(held.values())


def _may_be_parameter(type_: TensorType) -> bool:
    is_narrow = type_.dtype in ("int8", "uint8", "int4", "uint4", "int2", "uint2")
    return len(type_.shape) > 0 and (is_narrow or "float" in type_.dtype)


def inference(graph: Graph, memory_model: str, order: str) -> Inference:
    """Schedule, lifetimes, timeline and peak of one forward run."""
    run = _Run.of(graph, memory_model, None)
    bound = _step_floor(run.schedule if memory_model != "inplace" else inference_schedule(graph), memory_model)
    if order == "memory":
        found = least_peak_order(run.schedule, preceding_steps(graph))
        if memory_model != "inplace":  # there the order decides which buffers are shared, so the search proves nothing
            bound = max(bound, found.bound)
        run = min(run, _Run.of(graph, memory_model, found.steps), key=lambda candidate: candidate.timeline.peak)
    return _inference(graph, run, memory_model, order, bound)


@dataclass(frozen=True, slots=True)
class _Run:
    """One execution order of the graph and what follows from it."""

    nodes: tuple[Node, ...]
    schedule: Schedule
    lifetimes: Lifetimes
    timeline: Timeline

    @classmethod
    def of(cls, graph: Graph, memory_model: str, order: Sequence[int] | None) -> _Run:
        nodes = graph.steps
        schedule = inference_schedule(graph, memory_model, order)
        alive = lifetimes(schedule)
        in_order = nodes if order is None else tuple(nodes[i] for i in order)
        return cls(in_order, schedule, alive, timeline(alive, schedule))


def _step_floor(schedule: Schedule, memory_model: str) -> int:
    """Bytes that a single step needs in any order: what it reads and writes, or in place the more of the two."""
    sizes = [buffer.nbytes for buffer in schedule.buffers]
    combined = max if memory_model == "inplace" else int.__add__
    return max(
        (combined(sum(sizes[b] for b in s.reads), sum(sizes[b] for b in s.writes)) for s in schedule.steps), default=0
    )


def _inference(graph: Graph, run: _Run, memory_model: str, order: str, bound: int) -> Inference:
    alive, live = run.lifetimes, run.timeline
    peak = run.nodes[live.peak_step] if run.nodes else None
    at_peak = np.flatnonzero((alive.start <= live.peak_step) & (alive.stop > live.peak_step))
    by_size = np.argsort(-alive.nbytes, kind="stable")
    return Inference(
        memory_model=memory_model,
        order=order,
        order_bound=bound,
        peak=live.peak,
        peak_step=live.peak_step,
        peak_node=run.schedule.steps[live.peak_step].name if peak else "",
        peak_operator=peak.op_type if peak else "",
        peak_origin=peak.origin if peak else Origin(),
        total_bytes=int(alive.nbytes.sum()),
        live_at_peak=_live_tensors(graph, run, at_peak[np.argsort(-alive.nbytes[at_peak], kind="stable")]),
        greatest=_live_tensors(graph, run, by_size[:GREATEST]),
        schedule=run.schedule,
        lifetimes=alive,
        timeline=live,
    )


def _live_tensors(graph: Graph, run: _Run, rows: IntColumn) -> tuple[LiveTensor, ...]:
    """The buffers of these rows as a reader wants to see them."""
    made = []
    for row in rows.tolist():
        buffer, lifetime = run.schedule.buffers[row], run.lifetimes[row]
        producer = run.nodes[lifetime.start] if buffer.kind != "input" and lifetime.stop else None
        made.append(
            LiveTensor(
                tensor=buffer.name,
                type=graph.tensors[buffer.name].type,
                nbytes=buffer.nbytes,
                kind=buffer.kind,
                first_step=lifetime.start,
                last_step=max(lifetime.start, lifetime.stop - 1),
                producer=producer.op_type if producer else "",
                origin=producer.origin if producer else Origin(),
            )
        )
    return tuple(made)
