"""Analysis: everything that was found out about one model, ready to be drawn without further arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphmem.ir.graph import Effect, Graph, Issue, Node, Origin, exactness_of
from graphmem.ir.memory import Lifetimes, Timeline
from graphmem.ir.runtime import OnnxRuntimeMemory
from graphmem.ir.schedule import Schedule
from graphmem.ir.types import Type


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The model at a glance. `parameters` counts elements, `weight_bytes` everything fixed before the run."""

    name: str
    nodes: int
    parameters: int
    weight_bytes: int
    opsets: Mapping[str, int]
    inputs: Mapping[str, Type]


@dataclass(frozen=True, slots=True)
class LiveTensor:
    """A buffer as a reader wants to see it: first_step..last_step, both included, and who made it where."""

    tensor: str
    type: Type
    nbytes: int
    kind: str
    first_step: int
    last_step: int
    producer: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Inference:
    """The memory of one forward run. `peak` is the most activation bytes alive in any step, without weights.

    `nodes` are the executed ones, one per step; `order_bound` is a proved lower bound on any order's peak;
    `onnxruntime` has the further figures of that memory model.
    """

    memory_model: str
    order: str
    order_bound: int
    peak: int
    peak_step: int
    peak_node: str
    peak_operator: str
    peak_origin: Origin
    total_bytes: int
    live_at_peak: tuple[LiveTensor, ...]
    greatest: tuple[LiveTensor, ...]
    nodes: tuple[Node, ...]
    schedule: Schedule
    lifetimes: Lifetimes
    timeline: Timeline
    notes: tuple[Issue, ...] = ()
    onnxruntime: OnnxRuntimeMemory | None = None

    @property
    def workspace(self) -> int:
        """Bytes that only the peak's step holds while it runs, such as what is alive inside the body of a loop."""
        return self.schedule.steps[self.peak_step].workspace if self.schedule.steps else 0

    @property
    def is_optimal_order(self) -> bool:
        """True when no execution order has a lower peak; proved."""
        return self.peak == self.order_bound


@dataclass(frozen=True, slots=True)
class Analysis:
    """What `graphmem.analyze` returns."""

    model: ModelFacts
    graph: Graph
    inference: Inference

    @property
    def peak_with_weights(self) -> int:
        """Bytes of the weights and of the activations at their peak."""
        return self.model.weight_bytes + self.inference.peak

    @property
    def issues(self) -> tuple[Issue, ...]:
        """Every missing or assumed fact."""
        return (*self.graph.issues, *self.inference.notes)

    @property
    def is_complete(self) -> bool:
        """True when every figure is exact."""
        return self.exactness == "exact"

    @property
    def exactness(self) -> Effect:
        """How to read every figure: exact, at most (a proved bound), or at least (something is missing)."""
        return exactness_of(self.issues)
