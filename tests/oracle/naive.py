"""Peak live bytes straight from the definition, in quadratic time and with nothing of graphmem's.

plain: every tensor that is not fixed before the run is alive from the node that writes it (inputs: node 0) to the last
node that reads it (outputs: the last node). views: Reshape, Flatten, Squeeze, Unsqueeze and Identity name the same bytes.
"""

from __future__ import annotations

import math

import onnx

WIDTH = {"float32": 4, "int64": 8, "int32": 4, "bool": 1, "float16": 2, "float64": 8, "uint8": 1, "int8": 1}
SAME_BYTES = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"}


def nbytes(shape: list[int], dtype: str) -> int:
    return math.prod(shape) * WIDTH[dtype]


def naive_peak(graph: onnx.GraphProto, sizes: dict[str, int], views: bool) -> int:
    fixed = {i.name for i in graph.initializer}
    steps = []
    for node in graph.node:
        if all(name in fixed for name in node.input if name):
            fixed.update(node.output)
        else:
            steps.append(node)
    life: dict[str, list[int]] = {i.name: [0, 0] for i in graph.input if i.name not in fixed}
    for step, node in enumerate(steps):
        for name in node.input:
            if name in life:
                life[name][1] = step
        for name in node.output:
            if name:
                life[name] = [step, step]
    for info in graph.output:
        if info.name in life:
            life[info.name][1] = len(steps) - 1
    owner = {name: name for name in life}
    if views:
        for node in steps:
            if node.op_type in SAME_BYTES:
                owner[node.output[0]] = owner.get(node.input[0], "a weight")
    groups: dict[str, list[int]] = {}
    for name, (first, last) in life.items():
        if owner[name] == "a weight":
            continue
        group = groups.setdefault(owner[name], [first, last, sizes[owner[name]]])
        group[0], group[1] = min(group[0], first), max(group[1], last)
    return max(
        sum(size for first, last, size in groups.values() if first <= step <= last) for step in range(len(steps))
    )
