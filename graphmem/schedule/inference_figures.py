"""Graph, memory model, order -> Inference: schedule, lifetimes, timeline and what they add up to; and ModelFacts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from graphmem.ir.analysis import Inference, ModelFacts
from graphmem.ir.graph import Graph, Node, Origin, Tensor
from graphmem.ir.memory import Lifetimes, Timeline
from graphmem.ir.schedule import Schedule
from graphmem.ir.types import TensorType, nbytes_of
from graphmem.memory.liveness import lifetimes, live_tensors, timeline
from graphmem.memory.reorder import least_peak_order
from graphmem.schedule.inference import branch_notes, inference_schedule, preceding_steps

GREATEST = 10


def model_facts(graph: Graph, name: str) -> ModelFacts:
    """The model at a glance; `name` is that of the file."""
    weights = [tensor for inner in graph.with_bodies for tensor in kept_weights(inner)]
    return ModelFacts(
        name=name,
        nodes=len(graph.nodes),
        parameters=sum(map(_parameters, graph.with_bodies)),
        weight_bytes=sum(nbytes_of(tensor.type) for tensor in weights),
        opsets=graph.opsets,
        inputs={name: graph.tensors[name].type for name in graph.inputs},
    )


def kept_weights(graph: Graph) -> Iterator[Tensor]:
    """What is fixed before the run, quantized weights as they are kept."""
    unpacked = graph.unpacked
    return (t for name, t in graph.tensors.items() if t.role == "weight" and name not in unpacked)


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
        if node.standard_type == "BatchNormalization":
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
    run = Order.of(graph, memory_model, None)
    bound = _step_floor(run.schedule if memory_model != "inplace" else inference_schedule(graph), memory_model)
    if order == "memory":
        found = least_peak_order(run.schedule, preceding_steps(graph))
        if memory_model != "inplace":  # there the order decides which buffers are shared, so the search proves nothing
            bound = max(bound, found.bound)
        run = min(run, Order.of(graph, memory_model, found.steps), key=lambda candidate: candidate.timeline.peak)
    return _inference(graph, run, memory_model, order, bound)


@dataclass(frozen=True, slots=True)
class Order:
    """One execution order of the graph and what follows from it."""

    nodes: tuple[Node, ...]
    schedule: Schedule
    lifetimes: Lifetimes
    timeline: Timeline

    @classmethod
    def of(cls, graph: Graph, memory_model: str, order: Sequence[int] | None) -> Order:
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


def _inference(graph: Graph, run: Order, memory_model: str, order: str, bound: int) -> Inference:
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
