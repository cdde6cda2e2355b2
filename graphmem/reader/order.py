"""NodeProtos -> the same nodes so that every read follows its write; in file order wherever that already holds."""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterator, Sequence

import onnx

from graphmem.ir.budget import NODE, TENSOR
from graphmem.ir.errors import ModelError


def described(node: onnx.NodeProto) -> str:
    """How an error names a node."""
    return f"node '{node.name or next((o for o in node.output if o), '?')}' ({node.op_type})"


def bodies_of(node: onnx.NodeProto) -> list[tuple[str, onnx.GraphProto]]:
    """(attribute name, body) of a control-flow node."""
    found = []
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            found.append((attribute.name, attribute.g))
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            found += [(f"{attribute.name}[{i}]", graph) for i, graph in enumerate(attribute.graphs)]
    return found


def all_bodies(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The bodies in a graph, at any depth."""
    pending = [graph]
    while pending:
        for node in pending.pop().node:
            found = [body for _, body in bodies_of(node)]
            yield from found
            pending += found


def steps_of(body: onnx.GraphProto) -> int:
    """What one walk of a body takes, the bodies in it included."""
    steps = 0
    for graph in (body, *all_bodies(body)):
        declared = len(graph.initializer) + len(graph.input) + len(graph.output) + len(graph.value_info)
        steps += NODE * (len(graph.node) + 1) + TENSOR * declared
    return steps


def captured(node: onnx.NodeProto) -> tuple[str, ...]:
    """Names that the node's bodies, at any depth, read from outside themselves; in order, each once."""
    names: dict[str, None] = {}
    for _, body in bodies_of(node):
        own = {i.name for i in body.input} | {i.name for i in body.initializer}
        own |= {i.values.name for i in body.sparse_initializer}
        own |= {name for inner in body.node for name in inner.output}
        for inner in body.node:
            names.update((name, None) for name in (*inner.input, *captured(inner)) if name and name not in own)
        names.update((o.name, None) for o in body.output if o.name and o.name not in own)
    return tuple(names)


def ordered(nodes: Sequence[onnx.NodeProto], available: Container[str]) -> Sequence[onnx.NodeProto]:
    """`nodes` so that every name read is in `available` or written before; ModelError for a cycle or a missing name."""
    written: dict[str, int] = {}
    in_order = True
    reads: list[tuple[str, ...]] = []
    for index, node in enumerate(nodes):
        names = tuple(node.input)
        if any(attribute.type in (5, 10) for attribute in node.attribute):
            names += captured(node)
        reads.append(names)
        in_order = in_order and all(name in written or not name or name in available for name in names)
        for name in node.output:
            if name and (name in written or name in available):
                raise ModelError(f"{described(node)} writes '{name}', which already has a value; names must be unique")
            if name:
                written[name] = index
    return nodes if in_order else _sorted(nodes, reads, written, available)


def _sorted(
    nodes: Sequence[onnx.NodeProto], reads: list[tuple[str, ...]], written: dict[str, int], available: Container[str]
) -> list[onnx.NodeProto]:
    """Kahn's algorithm; among ready nodes the first of the file goes first."""
    waiting, readers = [0] * len(nodes), [[] for _ in nodes]  # type: ignore[var-annotated]
    for index, names in enumerate(reads):
        for name in set(names):
            if name in written:
                waiting[index] += 1
                readers[written[name]].append(index)
            elif name and name not in available:
                raise ModelError(f"{described(nodes[index])} reads '{name}', which nothing produces")
    ready = [index for index, count in enumerate(waiting) if not count]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for reader in readers[index]:
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, reader)
    if len(order) < len(nodes):
        stuck = next(index for index, count in enumerate(waiting) if count)
        raise ModelError(
            f"{described(nodes[stuck])} is part of a cycle or waits for one; a model's graph must be acyclic"
        )
    return [nodes[index] for index in order]
