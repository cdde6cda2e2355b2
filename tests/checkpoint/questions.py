"""Small questions for the tests, and the exact answers by brute force."""

from __future__ import annotations

import heapq
import json
import random
from pathlib import Path

import pytest

from graphmem.checkpoint.problem_file import parsed
from graphmem.ir.recompute import Operation, Recompute

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "checkpoint"


def question(sizes: list[int], costs: list[int], reads: list[tuple[int, ...]], keep_order: bool = True) -> Recompute:
    operations = tuple(Operation(str(i), size, cost) for i, (size, cost) in enumerate(zip(sizes, costs, strict=True)))
    return Recompute(operations, tuple(reads), keep_order)


def chain(length: int, seed: int) -> Recompute:
    """`length` forward and as many backward operations; backward i reads the value before forward i, and its own."""
    rng = random.Random(seed)
    operations = [Operation(f"f{i}", rng.randint(1, 9), rng.randint(1, 9)) for i in range(length)]
    reads: list[tuple[int, ...]] = [(i - 1,) if i else () for i in range(length)]
    for i in reversed(range(length)):
        reads.append(tuple(sorted({*((i - 1,) if i else ()), i, len(reads) - 1})))
        operations.append(Operation(f"b{i}", rng.randint(1, 9), rng.randint(1, 9), backward=True))
    return Recompute(tuple(operations), tuple(reads))


def tangle(size: int, seed: int, keep_order: bool = True) -> Recompute:
    """Any directed acyclic graph."""
    rng = random.Random(seed)
    reads = [tuple(sorted(rng.sample(range(i), min(i, rng.randint(0, 3))))) for i in range(size)]
    return question(
        [rng.randint(1, 9) for _ in range(size)], [rng.randint(0, 9) for _ in range(size)], reads, keep_order
    )


def least_cost(asked: Recompute, budget: int) -> int | None:  # noqa: C901 - one loop, to be read in one go
    """The cost of the best course within the budget, by Dijkstra over (computed, alive): every course is a path."""
    n = len(asked)
    size = [o.nbytes for o in asked.operations]
    queue: list[tuple[int, int, int]] = [(0, 0, 0)]  # cost, computed ever, alive; bit sets
    done: set[tuple[int, int]] = set()
    while queue:
        cost, ever, alive = heapq.heappop(queue)
        if (ever, alive) in done:
            continue
        done.add((ever, alive))
        if ever == (1 << n) - 1:
            return cost
        for u in range(n):  # forget a value
            if alive >> u & 1:
                heapq.heappush(queue, (cost, ever, alive & ~(1 << u)))
        for v in range(n):  # compute one
            again = bool(ever >> v & 1)
            if alive >> v & 1 or (again and asked.operations[v].pinned):
                continue
            if not again and asked.keep_order and ever != (1 << v) - 1:
                continue
            if any(not alive >> u & 1 for u in asked.reads[v]):
                continue
            if sum(size[u] for u in range(n) if (alive | 1 << v) >> u & 1) <= budget:
                heapq.heappush(queue, (cost + asked.operations[v].cost, ever | 1 << v, alive | 1 << v))
    return None


def shared(name: str, keep_order: bool = True) -> Recompute:
    path = SHARED / f"{name}.json"
    if not path.exists():
        pytest.skip(f"{path} is not there: the public instances lie beside the repository")
    return parsed(path.read_text(), str(path), keep_order)


def document(asked: Recompute) -> str:
    nodes = [{"bytes": o.nbytes, "cost": o.cost, "backward": o.backward, "pinned": o.pinned} for o in asked.operations]
    edges = [[u, v] for v, sources in enumerate(asked.reads) for u in sources]
    return json.dumps({"name": "test", "nodes": nodes, "edges": edges})
