"""Path -> Analysis: the whole walk, and the public API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from graphmem.ir.analysis import Analysis, Inference, ModelFacts
from graphmem.ir.errors import OptionError
from graphmem.ir.graph import Graph, Node, Origin
from graphmem.ir.memory import Lifetimes, Timeline
from graphmem.ir.runtime import Advice, SessionOptions
from graphmem.ir.schedule import Schedule
from graphmem.ir.types import TensorType
from graphmem.memory.live import live_tensors
from graphmem.memory.liveness import lifetimes, timeline
from graphmem.reader import read
from graphmem.schedule.bodies import branch_notes
from graphmem.schedule.inference import MEMORY_MODELS, inference_schedule, nbytes_of, preceding_steps
from graphmem.schedule.precision import PRECISIONS, in_precision
from graphmem.schedule.pruning import pruned
from graphmem.schedule.reorder import least_peak_order

ORDERS = ("file", "memory", "onnxruntime")
ONNXRUNTIME = "onnxruntime"
GREATEST = 10


def analyze(
    path: str | Path,
    dims: Mapping[str, int] | None = None,
    *,
    batch: int | None = None,
    memory_model: str = "views",
    order: str = "file",
    strict: bool = False,
    trips: Mapping[str, int] | None = None,
    shapes: Mapping[str, TensorType] | None = None,
    session: SessionOptions | None = None,
    precision: str = "fp32",
    prune: float = 0.0,
) -> Analysis:
    """The memory of one forward run of the ONNX file at `path`, found without running it.

    Args:
        path: an .onnx file (or its protobuf text or ONNX text form); external weights are not read and may be absent.
        dims: numbers for free dimensions, by symbol ("seq") or by input axis ("input_ids:1").
        batch: number for the free leading dimension of the inputs.
        memory_model: "plain", "views" or "inplace" (docs/what-the-numbers-mean.md), or "onnxruntime" for what its CPU
            provider allocates (docs/onnxruntime.md; the only one that needs onnxruntime).
        order: "file", or "memory" for a reordering that lowers the peak; of "onnxruntime" always its own.
        strict: refuse a free dimension instead of taking 1.
        trips: how often a loop runs, by the name of its node or of one of its outputs, where the file does not say.
        shapes: types of tensors that cannot be known, such as the outputs of an operator of your own.
        session: the session options of "onnxruntime"; its own defaults when None.
        precision: a key of PRECISIONS (fp16, bf16, int8, int4, fp8), what the model would need in it; fp32 for the
            types of the file. Not for "onnxruntime", which runs the file as it is.
        prune: share of the channels of every layer to take out where the graph allows. Not for "onnxruntime" either.

    Raises:
        ModelError: the file is not a readable, valid model.
        OptionError: an option fits neither the model nor the choices above.
    """
    _check(memory_model, order, session)
    if precision not in PRECISIONS:
        raise OptionError(f"precision '{precision}' is not one of {', '.join(PRECISIONS)}")
    if (precision != "fp32" or prune) and memory_model == ONNXRUNTIME:
        raise OptionError("onnxruntime runs the file as it is; precision and prune go with plain, views and inplace")
    graph = pruned(read(path, dims, batch, strict, trips, shapes), prune)
    if precision != "fp32":
        other = in_precision(graph, precision)
        facts = replace(model_facts(other, Path(path).stem), parameters=sum(map(_parameters, graph.with_bodies)))
        return ShownAnalysis(facts, other, inference(other, memory_model, order))
    if memory_model == ONNXRUNTIME:
        found = _onnxruntime(Path(path), graph, session or SessionOptions())
        if batch is None or batch < 2:
            return found
        half = _onnxruntime(
            Path(path), read(path, dims, batch // 2, strict, trips, shapes), session or SessionOptions()
        )
        return with_batch_advice(found, half, batch)
    return ShownAnalysis(model_facts(graph, Path(path).stem), graph, inference(graph, memory_model, order))


@dataclass(frozen=True, slots=True)
class ShownAnalysis(Analysis):
    """An Analysis that a notebook shows as its timeline; here because ir/ knows no reports."""

    def _repr_html_(self) -> str:
        from graphmem.memory.profile import inference_profile
        from graphmem.report.notebook import analysis_html

        return analysis_html(self, inference_profile(self))


def _check(memory_model: str, order: str, session: SessionOptions | None) -> None:
    """OptionError for what is no choice, or for choices that contradict each other."""
    models = (*MEMORY_MODELS, ONNXRUNTIME)
    if memory_model not in models:
        raise OptionError(f"memory model '{memory_model}' is not one of {', '.join(models)}")
    if order not in ORDERS:
        raise OptionError(f"order '{order}' is not one of {', '.join(ORDERS)}")
    if order == ONNXRUNTIME and memory_model != ONNXRUNTIME:
        raise OptionError("order 'onnxruntime' goes with memory model 'onnxruntime' only")
    if order == "memory" and memory_model == ONNXRUNTIME:
        raise OptionError("onnxruntime chooses its own order; for a reordered model use graphmem optimize")
    if session is not None and memory_model != ONNXRUNTIME:
        raise OptionError("session options go with memory model 'onnxruntime' only")


def with_batch_advice(found: Analysis, half: Analysis, batch: int) -> Analysis:
    """`found` with the advice to run the batch in parts, if `half`, the same model with half the batch, needs less."""
    now, then = found.inference.onnxruntime, half.inference.onnxruntime
    assert now is not None
    assert then is not None
    saving = max(now.first_run_peak, now.later_peak) - max(then.first_run_peak, then.later_peak)
    if saving <= 0:
        return found
    words = f"batch {batch} run as {-(-batch // (batch // 2))} batches of {batch // 2}"
    code = f"for part in numpy.array_split(x, {-(-batch // (batch // 2))}): session.run(None, {{name: part}})"
    row = Advice(words, code, then.first_run_peak, then.later_peak, saving)
    rows = tuple(sorted((*now.advice, row), key=lambda a: (-a.saving, len(a.code), a.change)))
    return replace(found, inference=replace(found.inference, onnxruntime=replace(now, advice=rows)))


def _onnxruntime(path: Path, graph: Graph, session: SessionOptions) -> Analysis:
    """The analysis of the graph that ONNX Runtime makes of the model, under its own memory planner."""
    from graphmem.runtime.figures import advice, predicted
    from graphmem.runtime.graph import Source, runtime_graph

    runtime = runtime_graph(Source.of(path, graph), session)
    found = predicted(runtime, session)
    schedule = found.plan.schedule
    run = Run(found.plan.nodes, schedule, found.lifetimes, found.timeline)
    floor = max((buffer.nbytes for buffer in schedule.buffers), default=0)  # in any order each must be there once
    made = _inference(runtime.graph, run, ONNXRUNTIME, ONNXRUNTIME, floor)
    memory = replace(found.memory, advice=advice(runtime, found.memory))
    executed = replace(runtime.graph, issues=runtime.issues)
    return ShownAnalysis(model_facts(graph, path.stem), executed, replace(made, onnxruntime=memory))


def model_facts(graph: Graph, name: str) -> ModelFacts:
    """The model at a glance; `name` is that of the file."""
    weights = [tensor for inner in graph.with_bodies for tensor in inner.tensors.values() if tensor.role == "weight"]
    return ModelFacts(
        name=name,
        nodes=len(graph.nodes),
        parameters=sum(map(_parameters, graph.with_bodies)),
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
    run = Run.of(graph, memory_model, None)
    bound = _step_floor(run.schedule if memory_model != "inplace" else inference_schedule(graph), memory_model)
    if order == "memory":
        found = least_peak_order(run.schedule, preceding_steps(graph))
        if memory_model != "inplace":  # there the order decides which buffers are shared, so the search proves nothing
            bound = max(bound, found.bound)
        run = min(run, Run.of(graph, memory_model, found.steps), key=lambda candidate: candidate.timeline.peak)
    return _inference(graph, run, memory_model, order, bound)


@dataclass(frozen=True, slots=True)
class Run:
    """One execution order of the graph and what follows from it."""

    nodes: tuple[Node, ...]
    schedule: Schedule
    lifetimes: Lifetimes
    timeline: Timeline

    @classmethod
    def of(cls, graph: Graph, memory_model: str, order: Sequence[int] | None) -> Run:
        """The run of the graph's steps in file order, or in `order`, a permutation of step numbers."""
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


def _inference(graph: Graph, run: Run, memory_model: str, order: str, bound: int) -> Inference:
    alive, live = run.lifetimes, run.timeline
    peak = run.nodes[live.peak_step] if run.nodes else None
    at_peak = np.flatnonzero((alive.start <= live.peak_step) & (alive.stop > live.peak_step))
    by_size = np.argsort(-alive.nbytes, kind="stable")
    described = partial(live_tensors, graph, run.nodes, run.schedule, alive)
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
        live_at_peak=described(at_peak[np.argsort(-alive.nbytes[at_peak], kind="stable")].tolist()),
        greatest=described(by_size[:GREATEST].tolist()),
        nodes=run.nodes,
        schedule=run.schedule,
        lifetimes=alive,
        timeline=live,
        notes=tuple(branch_notes(graph, memory_model, inference_schedule)),
    )
