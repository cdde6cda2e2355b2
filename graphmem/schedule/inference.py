"""Graph -> Schedule of one forward run, under a memory model that says which tensors share a buffer.

plain    every tensor has its own buffer
views    the output of Reshape, Flatten, Squeeze, Unsqueeze or Identity is its input's buffer
inplace  as views, and an element-wise output takes over an input's buffer of the same size that dies there
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

from graphmem.ir.graph import Graph, Node
from graphmem.ir.schedule import Buffer, Schedule, Step
from graphmem.ir.types import BoundedType, OptionalType, SequenceType, TensorType, Type
from graphmem.ops.facts import is_elementwise, is_view
from graphmem.schedule.bodies import workspace

MemoryModel: TypeAlias = Literal["plain", "views", "inplace"]
MEMORY_MODELS: tuple[str, ...] = get_args(MemoryModel)


def nbytes_of(type_: Type) -> int:
    """Bytes that a value is counted with: of a bounded one the most, of an unknown one none (an Issue says so)."""
    if isinstance(type_, TensorType | BoundedType):
        return type_.nbytes if type_.has_size else 0
    if isinstance(type_, SequenceType):
        return sum(map(nbytes_of, type_.elements or ()))
    if isinstance(type_, OptionalType):
        return nbytes_of(type_.element) if type_.present is not False else 0
    return 0


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
        if is_view(node.op_type, node.domain) and node.inputs and node.inputs[0] in self.number:
            return self.number[node.inputs[0]]
        if self.model == "inplace" and is_elementwise(node.op_type, node.domain):
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
            if (
                position == 0
                and self.model != "plain"
                and is_view(node.op_type, node.domain)
                and self.is_weight(node.inputs[0])
            ):
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
