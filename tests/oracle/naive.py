"""Peak live bytes straight from the definition, in quadratic time and with nothing of graphmem's.

plain: every tensor that is not fixed before the run is alive from the node that writes it (inputs: node 0) to the last
node that reads it (outputs: the last node). views: Reshape, Flatten, Squeeze, Unsqueeze and Identity name the same
bytes.
"""

from __future__ import annotations

import math

import onnx

WIDTH = {"float32": 4, "int64": 8, "int32": 4, "bool": 1, "float16": 2, "float64": 8, "uint8": 1, "int8": 1}
SAME_BYTES = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"}


def nbytes(shape: list[int], dtype: str) -> int:
    return math.prod(shape) * WIDTH[dtype]


def naive_peak(graph: onnx.GraphProto, sizes: dict[str, int], views: bool) -> int:
    steps = executed(graph)
    life = intervals(graph, steps)
    owner = owners(steps, life) if views else {name: name for name in life}
    groups: dict[str, list[int]] = {}
    for name, (first, last) in life.items():
        if owner[name] != "a weight":
            group = groups.setdefault(owner[name], [first, last, sizes[owner[name]]])
            group[0], group[1] = min(group[0], first), max(group[1], last)
    return max(sum(size for a, b, size in groups.values() if a <= step <= b) for step in range(len(steps)))


def executed(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    fixed = {i.name for i in graph.initializer}
    steps = []
    for node in graph.node:
        if all(name in fixed for name in node.input if name):
            fixed.update(node.output)
        else:
            steps.append(node)
    return steps


def intervals(graph: onnx.GraphProto, steps: list[onnx.NodeProto]) -> dict[str, list[int]]:
    weights = {i.name for i in graph.initializer}
    life = {i.name: [0, 0] for i in graph.input if i.name not in weights}
    for step, node in enumerate(steps):
        for name in node.input:
            if name in life:
                life[name][1] = step
        life.update({name: [step, step] for name in node.output if name})
    for info in graph.output:
        if info.name in life:
            life[info.name][1] = len(steps) - 1
    return life


def owners(steps: list[onnx.NodeProto], life: dict[str, list[int]]) -> dict[str, str]:
    owner = {name: name for name in life}
    for node in steps:
        if node.op_type in SAME_BYTES:
            owner[node.output[0]] = owner.get(node.input[0], "a weight")
    return owner
