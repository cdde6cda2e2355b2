"""ModelProto -> the same with its nodes in another order, whether both compute the same, and ONNX Runtime's own order.

default    depth first from the nodes that feed no other, against the edges; a node is done when all before it are.
           The stack starts with those nodes and grows by each node's producers, both in ascending node number, so the
           last of each goes first (graph_viewer.cc, Graph::ReverseDFSFrom).
priority   Kahn's algorithm; of the ready nodes Shape and Size go first, then the lowest number (PriorityNodeCompare).
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from graphmem.ir.runtime import SessionOptions
from graphmem.ir.types import Shape
from graphmem.measure.prepare import runnable
from graphmem.measure.process import ask


def reordered(model: bytes, outputs: Sequence[str]) -> bytes:
    """The model with the nodes that write these names in this order; all others, such as constants, before them."""
    import onnx

    proto = onnx.ModelProto.FromString(model)
    place = {name: i for i, name in enumerate(outputs)}
    nodes = sorted(proto.graph.node, key=lambda node: min((place[n] for n in node.output if n in place), default=-1))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    data: bytes = proto.SerializeToString()
    return data


def has_external_weights(model: bytes) -> bool:
    """True when some initializer lies outside the file."""
    import onnx

    proto = onnx.ModelProto.FromString(model)
    return any(t.data_location == onnx.TensorProto.EXTERNAL for t in proto.graph.initializer)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Outputs of two models on the same inputs: equal bit by bit, or within rounding."""

    same: bool
    close: bool


def compared(
    models: Sequence[bytes],
    folder: Path,
    inputs: Mapping[str, Shape],
    options: Sequence[SessionOptions],
    scratch: Path,
) -> Comparison:
    """Run both models in one process on seeded random inputs, absent weights made up alike."""
    paths = []
    for i, model in enumerate(models):
        own = scratch / str(i)
        own.mkdir()
        ready = runnable(model, folder, inputs, own)
        paths.append((ready.path, ready.weights_folder))
    request = {
        "models": [[str(path), str(weights)] for path, weights in paths],
        "options": [asdict(o) for o in options],
        "shapes": {name: list(shape) for name, shape in inputs.items()},
        "seed": 0,
    }
    answer = ask("compare", request, scratch)
    return Comparison(answer["same"], answer["close"])


@dataclass(frozen=True, slots=True)
class Call:
    """A node as far as its place in the order depends on it; `reads` holds implicit inputs too."""

    op_type: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def execution_order(calls: Sequence[Call], order: str) -> list[int]:
    """Positions in `calls`, which is sorted by node number, in the order of execution."""
    writer = {name: i for i, call in enumerate(calls) for name in call.writes if name}
    before = [sorted({writer[name] for name in call.reads if name in writer}) for call in calls]
    return _by_priority(calls, before) if order == "priority" else _depth_first(before)


def _depth_first(before: list[list[int]]) -> list[int]:
    feeding = {i for row in before for i in row}
    stack = [(i, False) for i in range(len(before)) if i not in feeding]
    visited = [False] * len(before)
    order = []
    while stack:
        node, is_done = stack.pop()
        if is_done:
            order.append(node)
        elif not visited[node]:
            visited[node] = True
            stack.append((node, True))
            stack += [(i, False) for i in before[node] if not visited[i]]
    return order


def _by_priority(calls: Sequence[Call], before: list[list[int]]) -> list[int]:
    after: list[list[int]] = [[] for _ in calls]
    for node, row in enumerate(before):
        for i in row:
            after[i].append(node)
    waiting = [len(row) for row in before]
    ready = [(calls[i].op_type not in ("Shape", "Size"), i) for i, count in enumerate(waiting) if not count]
    heapq.heapify(ready)
    order = []
    while ready:
        _, node = heapq.heappop(ready)
        order.append(node)
        for i in after[node]:
            waiting[i] -= 1
            if not waiting[i]:
                heapq.heappush(ready, (calls[i].op_type not in ("Shape", "Size"), i))
    return order
