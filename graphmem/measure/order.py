"""(reads, writes) of every node -> the order in which ONNX Runtime executes them.

default    depth first from the nodes that feed no other, against the edges; a node is done when all before it are.
           The stack starts with those nodes and grows by each node's producers, both in ascending node number, so the
           last of each goes first (graph_viewer.cc, Graph::ReverseDFSFrom).
priority   Kahn's algorithm; of the ready nodes Shape and Size go first, then the lowest number (PriorityNodeCompare).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


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
