"""RuntimeGraph -> Schedule, with the buffers that ONNX Runtime's memory planner gives it (allocation_planner.cc).

For each output of each node, in execution order, the first that applies:

    graph output      a fresh buffer that lives to the end
    alias             the input's buffer (Reshape, Identity, ...), whoever else uses it
    in place          the input's buffer, when this is its last use and both have one shape and width
    free list         the buffer freed last among those of the same shape and width (`enable_mem_reuse`)
    otherwise         a fresh buffer

"The same shape" is by what is known at load, so a symbol equals only itself. A buffer taken from the free list was
never released: it lives from its first write to the last read of the last value in it. That is why ONNX Runtime often
needs more than the tensors alive. A value that no node reads never takes a buffer from the list, and a buffer that no
node reads is released only when the run ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from graphmem.ir.graph import Graph, Node
from graphmem.ir.runtime import RuntimeGraph
from graphmem.ir.schedule import Buffer, Schedule, Step
from graphmem.ir.types import BoundedType, TensorType, Type, nbytes_of
from graphmem.memory.liveness import lifetimes, timeline
from graphmem.ort.kernels.kernel import Kernel, aligned
from graphmem.ort.kernels.workspace import packing, workspace
from graphmem.ort.sharing import sharing

KEPT = "kept"  # kind of a buffer that the thread keeps for later runs; it is not the arena's


@dataclass(frozen=True, slots=True)
class Needs:
    """What the kernels of a graph need while they run, worked out once for all plans of it."""

    runtime: RuntimeGraph
    kernels: dict[int, tuple[tuple[int, ...], int]] = field(default_factory=dict)

    def of(self, node: Node) -> tuple[tuple[int, ...], int]:
        """(workspaces, packing buffer) in bytes, of a node without bodies."""
        if id(node) not in self.kernels:
            kernel = kernel_of(self.runtime, node)
            self.kernels[id(node)] = workspace(node.domain, kernel), packing(node.domain, kernel)
        return self.kernels[id(node)]


@dataclass(frozen=True, slots=True)
class RuntimePlan:
    """What a run allocates, in order.

    For every buffer `numbers` has the number of its first value and `is_output` whether it leaves; `workspaces` has for
    every step the sizes that its `workspace` is the sum of.
    """

    schedule: Schedule
    nodes: tuple[Node, ...]
    numbers: tuple[int, ...]
    is_output: tuple[bool, ...]
    workspaces: tuple[tuple[int, ...], ...]


def _without_constants(graph: Graph) -> Graph:
    """A Constant node is an initializer by the time the planner sees the graph."""
    kept = tuple(node for node in graph.nodes if node.standard_type != "Constant")
    return graph if len(kept) == len(graph.nodes) else replace(graph, nodes=kept)


def runtime_plan(
    runtime: RuntimeGraph, reuse: bool = True, order: str = "default", needs: Needs | None = None
) -> RuntimePlan:
    """Steps and buffers of a first run on ONNX Runtime's CPU provider, arena and pattern off; inputs not counted."""
    graph = runtime.graph
    if order == "priority":
        graph = replace(graph, nodes=tuple(graph.nodes[i] for i in runtime.priority))
    return _plan(needs or Needs(runtime), _without_constants(graph), reuse)


@dataclass(slots=True)
class _Row:
    """A buffer being built: the step that first writes it, the values in it, the steps that read it."""

    first: int
    values: list[str]
    reads: list[int] = field(default_factory=list)


def _plan(needs: Needs, graph: Graph, reuse: bool) -> RuntimePlan:
    home = sharing(needs.runtime, graph, reuse)
    rows: dict[str, _Row] = {}
    for step, node in enumerate(graph.nodes):
        for name in node.reads:
            if home.get(name, name) in rows:
                rows[home[name]].reads.append(step)
        for name in node.writes:
            if home[name] in rows:
                rows[home[name]].values.append(name)
            elif home[name] == name:
                rows[name] = _Row(step, [name])
    return _scheduled(needs, graph, rows, reuse)


def _scheduled(needs: Needs, graph: Graph, rows: Mapping[str, _Row], reuse: bool) -> RuntimePlan:
    runtime, count = needs.runtime, len(graph.nodes)
    outputs = frozenset(graph.outputs)
    buffers: list[Buffer] = []
    leaving, numbers = [], []
    reads: list[list[int]] = [[] for _ in range(count)]
    writes: list[list[int]] = [[] for _ in range(count)]
    for name, row in rows.items():
        kind = "output" if name in outputs else "activation"
        size = aligned(nbytes_of(runtime.types[name]))
        writes[row.first].append(len(buffers))
        for step in row.reads:
            reads[step].append(len(buffers))
        if name in outputs or not row.reads:
            leaving.append(len(buffers))
        numbers.append(runtime.numbers.get(name, len(runtime.numbers)))
        buffers.append(Buffer(name, size, kind, tuple(row.values)))
    for name in _copied(graph) if count else ():
        writes[0].append(len(buffers))
        leaving.append(len(buffers))
        numbers.append(runtime.numbers.get(name, len(runtime.numbers)))
        buffers.append(Buffer(name, aligned(nbytes_of(graph.tensors[name].type)), "output", (name,)))
    packed = list(_packing_buffers(needs, graph))
    for i, (first, size) in enumerate(packed):
        writes[first].append(len(buffers))
        if i + 1 < len(packed):  # given back once its successor is there
            reads[packed[i + 1][0]].append(len(buffers))
        else:
            leaving.append(len(buffers))
        numbers.append(len(runtime.numbers))
        buffers.append(Buffer(f"packing buffer of {size:,} bytes", size, KEPT, ()))
    workspaces = tuple(node_workspace(needs, node, reuse) for node in graph.nodes)
    steps = tuple(
        Step(
            node.name or next(iter(node.writes), node.op_type),
            node.op_type,
            "forward",
            tuple(dict.fromkeys(reads[i])),
            tuple(writes[i]),
            sum(workspaces[i]),
        )
        for i, node in enumerate(graph.nodes)
    )
    is_output = tuple(buffer.kind == "output" for buffer in buffers)
    schedule = Schedule(steps, tuple(buffers), (), tuple(leaving))
    return RuntimePlan(schedule, graph.nodes, tuple(numbers), is_output, workspaces)


def _copied(graph: Graph) -> list[str]:
    """Outputs that are initializers: each run copies them into buffers of its own before the first node runs.

    execution_frame.cc: the values of such outputs are allocated with the frame.
    """
    written = {name for node in graph.nodes for name in node.writes}
    own = (name for name in dict.fromkeys(graph.outputs) if name in graph.tensors and name not in written)
    return [name for name in own if graph.tensors[name].role == "weight"]


def _packing_buffers(needs: Needs, graph: Graph) -> Iterator[tuple[int, int]]:
    """(step, bytes) where the thread first needs its buffer for 8-bit products, and where it takes a larger one."""
    held = 0
    for step, node in enumerate(graph.nodes):
        _, needed = needs.of(node)
        if needed > held:
            yield step, needed
            held = needed


def node_workspace(needs: Needs, node: Node, reuse: bool) -> tuple[int, ...]:
    """Bytes alive only while the node runs: the kernel's own, or the most that a body needs."""
    if node.standard_type in ("Loop", "Scan"):
        return (_loop_workspace(needs, node, reuse),)
    if node.bodies:
        return (max(_body_peak(needs, body, reuse, counts_outputs=False) for _, body in node.bodies),)
    return needs.of(node)[0]


def kernel_of(runtime: RuntimeGraph, node: Node) -> Kernel:
    """The node with its types, a bounded one taken at its most."""
    return Kernel(
        node.op_type,
        [_sized(runtime.types.get(name)) for name in node.inputs],
        [_sized(runtime.types.get(name)) for name in node.outputs],
        node.attributes,
        runtime.graph.opsets.get("", 0),
        frozenset(i for i, name in enumerate(node.inputs) if name and _is_weight(runtime, name)),
        {i: runtime.graph.values[name] for i, name in enumerate(node.inputs) if name in runtime.graph.values},
    )


def _is_weight(runtime: RuntimeGraph, name: str) -> bool:
    tensor = runtime.graph.tensors.get(name)
    return tensor is not None and tensor.role == "weight"


def _sized(type_: Type | None) -> TensorType | None:
    if isinstance(type_, BoundedType):
        return TensorType(type_.dtype, type_.high)
    return type_ if isinstance(type_, TensorType) else None


def _loop_workspace(needs: Needs, node: Node, reuse: bool) -> int:
    """The most that a turn of the body needs, its outputs included, and Loop's counter and condition."""
    body = node.bodies[0][1]
    return _body_peak(needs, body, reuse, counts_outputs=True) + (2 * aligned(1) if node.standard_type == "Loop" else 0)


def _body_peak(needs: Needs, body: Graph, reuse: bool, counts_outputs: bool) -> int:
    """Peak of a body's own buffers; without its outputs where the node's own outputs take them."""
    schedule = _plan(needs, body, reuse).schedule
    if not counts_outputs:
        own = tuple(replace(b, nbytes=0) if b.kind == "output" else b for b in schedule.buffers)
        schedule = replace(schedule, buffers=own)
    return timeline(lifetimes(schedule), schedule).peak
