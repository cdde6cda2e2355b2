"""RuntimeGraph -> which value takes over whose buffer, as ONNX Runtime's memory planner decides it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from graphmem.ir.graph import Graph, Node
from graphmem.ir.runtime import KnownDims, RuntimeGraph
from graphmem.ir.types import BITS, BoundedType, TensorType, Type
from graphmem.ort.kernels.sharing import aliases, in_place


@dataclass(slots=True)
class _Values:
    """The planner's state: how often each value's buffer is still to be used, and which buffer that is."""

    uses: Counter[str] = field(default_factory=Counter)
    buffer: dict[str, str] = field(default_factory=dict)  # value -> the value whose buffer it lives in
    free: dict[object, list[str]] = field(default_factory=dict)  # by size; most recently freed last

    def share(self, value: str, with_: str) -> None:
        original = self.buffer.get(with_, with_)
        self.buffer[value] = original
        self.uses[original] += self.uses[value]

    def used(self, value: str) -> str | None:
        """Count one use down; the value whose buffer that frees."""
        original = self.buffer.get(value, value)
        self.uses[original] -= 1
        return None if self.uses[original] else original


def sharing(runtime: RuntimeGraph, graph: Graph, reuse: bool) -> dict[str, str]:
    """For every value that a node of `graph` writes, the value whose buffer it lives in; often itself."""
    values = _Values(_uses(graph))
    outputs = frozenset(graph.outputs)
    for node in graph.nodes:
        for position, name in enumerate(node.outputs):
            if not name:
                continue
            values.buffer[name] = name
            donor = None if name in outputs else _donor(runtime, node, position, values)
            if donor is None and name not in outputs and reuse and values.uses[name] > 1:
                donor = _from_free_list(runtime, name, values)
            if donor is not None:
                values.share(name, donor)
        for name in _touched(node):
            freed = values.used(name)
            if freed is not None and (size := _size(runtime, freed)) is not None:
                values.free.setdefault(size, []).append(freed)
    return values.buffer


def _uses(graph: Graph) -> Counter[str]:
    """Uses of each value: its definition, every read, and one more for what belongs to the caller."""
    uses = Counter(name for node in graph.nodes for name in _touched(node))
    written = {name for node in graph.nodes for name in node.writes}
    uses.update({name: 1 for name in uses if name not in written})
    uses.update(graph.outputs)
    return uses


def _touched(node: Node) -> Iterator[str]:
    """Names in the order in which the planner counts their uses down; a name read twice counts twice."""
    yield from (name for name in node.inputs if name)
    yield from node.captures
    yield from node.writes


def _donor(runtime: RuntimeGraph, node: Node, position: int, values: _Values) -> str | None:
    """The input whose buffer the output must or may take over."""
    if position == 0 and aliases(node.domain, node.op_type):
        return node.inputs[0]
    for taken, given in in_place(node.domain, node.op_type):
        if given == position and taken < len(node.inputs) and node.inputs[taken]:
            name = node.inputs[taken]
            original = values.buffer.get(name, name)
            if values.uses[original] == 1 and _same_size(runtime, name, node.outputs[position]):
                return name
    return None


def _from_free_list(runtime: RuntimeGraph, name: str, values: _Values) -> str | None:
    if not runtime.known.get(name) or not isinstance(runtime.types.get(name), TensorType | BoundedType):
        return None  # no rank, rank 0, or no tensor
    freed = values.free.get(_size(runtime, name))
    return freed.pop() if freed else None


def _same_size(runtime: RuntimeGraph, a: str, b: str) -> bool:
    """True when ONNX Runtime can tell at load that both need the same bytes."""
    size = _size(runtime, a)
    return size is not None and size == _size(runtime, b)


def _size(runtime: RuntimeGraph, name: str) -> tuple[int, KnownDims] | None:
    """Width and dimensions as far as ONNX Runtime knows them at load; None where it cannot tell the bytes."""
    width, dims = _width(runtime.types.get(name)), runtime.known.get(name)
    return None if width is None or dims is None or None in dims else (width, dims)


def _width(type_: Type | None) -> int | None:
    """Bytes of one element in memory; None for strings and what is no tensor."""
    dtype = getattr(type_, "dtype", None)
    return max(1, BITS[dtype] // 8) if dtype in BITS else None
