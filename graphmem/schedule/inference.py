"""Graph -> Schedule of one forward run, under a memory model that says which tensors share a buffer.

plain    every tensor has its own buffer
views    the output of Reshape, Flatten, Squeeze, Unsqueeze or Identity is its input's buffer
inplace  as views, and an element-wise output takes over an input's buffer of the same size that dies there

Control flow -> workspace: what a node's bodies hold while they run, beyond what the node itself reads and writes.

A body runs as a schedule of its own, nested in its node's step; the step's workspace is that schedule's peak, and of
several bodies the worst. Not counted again is what the node's step already counts:

    If           the branch's outputs        are the node's outputs
    Loop, Scan   the values carried out      are the node's outputs
                 the values carried in       are the node's inputs in a single trip, else those of the trip before
    Scan         a slice along axis 0        is a view of the input that it is cut from (not in "plain")
    SequenceMap  the elements in and out     are those of the sequences (in: not in "plain")
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from graphmem.ir.graph import Graph, Issue, Node
from graphmem.ir.operators import is_elementwise, is_view
from graphmem.ir.schedule import Buffer, Schedule, Step
from graphmem.ir.types import nbytes_of
from graphmem.memory.liveness import lifetimes, timeline

Nested = Callable[[Graph, str], Schedule]


def workspace(node: Node, model: str, nested: Nested) -> int:
    """Bytes that the worst of the node's bodies holds at once; `nested` builds a body's schedule."""
    return max((_peak(node, body, model, nested) for _, body in node.bodies), default=0)


def branch_notes(graph: Graph, model: str, nested: Nested) -> list[Issue]:
    """For every If that only the run decides, which branch the figures are those of."""
    notes = []
    for node in graph.nodes:
        for _, body in node.bodies:
            notes += branch_notes(body, model, nested)
        walked = [(label, body) for label, body in node.bodies if body.outputs]
        if node.standard_type == "If" and len(walked) == 2:
            rows = [(_peak(node, body, model, nested), label) for label, body in walked]
            (most, worse), (least, other) = max(rows, key=lambda row: row[0]), min(rows, key=lambda row: row[0])
            what = (
                f"either branch may run; counted is '{worse}', the worse: {most} bytes inside it, {least} in '{other}'"
                if most != least
                else f"either branch may run; inside it both take {most} bytes"
            )
            notes.append(Issue("assumption", f"node '{node.name or next(iter(node.writes), '?')}' (If)", what))
    return notes


def _peak(node: Node, body: Graph, model: str, nested: Nested) -> int:
    schedule = nested(body, model)
    elsewhere = _counted_by_node(node, body, model)
    buffers = tuple(
        replace(buffer, nbytes=0) if any(name in elsewhere for name in buffer.tensors) else buffer
        for buffer in schedule.buffers
    )
    schedule = replace(schedule, buffers=buffers)
    return timeline(lifetimes(schedule), schedule).peak


def _counted_by_node(node: Node, body: Graph, model: str) -> frozenset[str]:
    """Names of the body whose bytes the node's own step counts."""
    own = model == "plain"
    if node.standard_type == "Loop":
        carried = len(node.inputs) - 2
        inputs = body.inputs[2:] if node.trips == 1 else ()
        return frozenset((*body.outputs[1 : 1 + carried], *inputs))
    if node.standard_type == "Scan":
        scanned = node.attributes.get("num_scan_inputs", 0)
        states = len(body.inputs) - scanned
        axes = node.attributes.get("scan_input_axes") or (0,) * scanned
        views = () if own else (n for n, axis in zip(body.inputs[states:], axes, strict=False) if axis == 0)
        return frozenset((*body.outputs[:states], *(body.inputs[:states] if node.trips == 1 else ()), *views))
    if node.standard_type == "SequenceMap":
        return frozenset((*body.outputs, *(() if own else body.inputs)))
    return frozenset(body.outputs)


class _Storage:
    """Which buffer each activation lives in, as nodes are visited in execution order."""

    def __init__(self, graph: Graph, nodes: Sequence[Node], model: str) -> None:
        self.graph = graph
        self.model = model
        self.number: dict[str, int] = {}
        self.in_weights: set[str] = set()  # activations that are views of weights and so need no buffer
        self.names: list[list[str]] = []
        self.sizes: list[int] = []
        self.kinds: list[str] = []
        self.reads_left = Counter(name for node in nodes for name in node.reads)
        self.users: list[int] = []  # reads still to come of any tensor in the buffer
        self.leaves: list[bool] = []
        self.outputs = frozenset(graph.outputs)

    def is_weight(self, name: str) -> bool:
        """True when the tensor lives in a weight's memory, or (in a body) in that of a graph further out."""
        tensor = self.graph.tensors.get(name)
        return name in self.in_weights or tensor is None or tensor.role == "weight"

    def add(self, name: str, kind: str) -> None:
        """Give the tensor a buffer of its own."""
        self.number[name] = len(self.names)
        self.names.append([name])
        self.sizes.append(nbytes_of(self.graph.tensors[name].type))
        self.kinds.append(kind)
        self.users.append(self.reads_left[name])
        self.leaves.append(name in self.outputs)

    def join(self, name: str, buffer: int) -> None:
        """Let the tensor live in a buffer that exists."""
        self.number[name] = buffer
        self.names[buffer].append(name)
        self.users[buffer] += self.reads_left[name]
        self.leaves[buffer] |= name in self.outputs

    def shared_with(self, node: Node) -> int | None:
        """The buffer that the node's first output may live in, or None."""
        if self.model == "plain" or not node.outputs or not node.outputs[0]:
            return None
        if is_view(node) and node.inputs and node.inputs[0] in self.number:
            return self.number[node.inputs[0]]
        if self.model == "inplace" and is_elementwise(node):
            size = nbytes_of(self.graph.tensors[node.outputs[0]].type)
            for name in node.inputs:
                buffer = self.number.get(name)
                if buffer is not None and self.sizes[buffer] == size and self._dies_in(buffer, node):
                    return buffer
        return None

    def _dies_in(self, buffer: int, node: Node) -> bool:
        here = sum(1 for name in node.reads if self.number.get(name) == buffer)
        return not self.leaves[buffer] and self.users[buffer] == here

    def visit(self, node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Place the node's outputs; the buffers it reads and those it brings to life."""
        reads = tuple(dict.fromkeys(self.number[name] for name in node.reads if name in self.number))
        shared = self.shared_with(node)
        for name in node.reads:
            if name in self.number:
                self.users[self.number[name]] -= 1
        first_new = len(self.names)
        for position, name in enumerate(node.outputs):
            if not name:
                continue
            if position == 0 and self.model != "plain" and is_view(node) and self.is_weight(node.inputs[0]):
                self.in_weights.add(name)
            elif position == 0 and shared is not None:
                self.join(name, shared)
            else:
                self.add(name, "output" if name in self.outputs else "activation")
        return reads, tuple(range(first_new, len(self.names)))


def inference_schedule(graph: Graph, model: str = "views", order: Sequence[int] | None = None) -> Schedule:
    """The steps of `graph` in file order, or in `order` (a permutation of step numbers), with their buffers.

    Sizes are exact bytes, without rounding; weights have no buffer.
    """
    nodes = graph.steps
    if order is not None:
        nodes = tuple([nodes[i] for i in order])
    storage = _Storage(graph, nodes, model)
    for name in graph.inputs:
        storage.add(name, "input")
    steps = []
    for node in nodes:
        reads, writes = storage.visit(node)
        inside = workspace(node, model, inference_schedule) if node.bodies else 0
        steps.append(
            Step(node.name or next(iter(node.writes), node.op_type), node.op_type, "forward", reads, writes, inside)
        )
    buffers = tuple(
        Buffer(names[0], size, kind, tuple(names))
        for names, size, kind in zip(storage.names, storage.sizes, storage.kinds, strict=True)
    )
    leaving = tuple(i for i, leaves in enumerate(storage.leaves) if leaves)
    return Schedule(tuple(steps), buffers, entering=tuple(range(len(graph.inputs))), leaving=leaving)


def preceding_steps(graph: Graph) -> list[tuple[int, ...]]:
    """For each step of the graph, in file order, the steps that write what it reads."""
    writer: dict[str, int] = {}
    before = []
    for step, node in enumerate(graph.steps):
        before.append(tuple(dict.fromkeys(writer[name] for name in node.reads if name in writer)))
        writer.update((name, step) for name in node.writes)
    return before
