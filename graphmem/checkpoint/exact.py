"""Tiny question, budget -> the cheapest course of all, by Dijkstra's algorithm over (computed so far, alive)."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from graphmem.ir.recompute import Recompute

KEPT_ORDER, FREE_ORDER = 12, 8  # operations up to which the states are few enough

State = tuple[int, int]  # bit sets of what has been computed so far and of what is alive


def is_tiny(question: Recompute) -> bool:
    """Whether the exact search takes about a second at most."""
    return len(question) <= (KEPT_ORDER if question.keep_order else FREE_ORDER)


def cheapest(question: Recompute, budget: int) -> list[int] | None:
    """The order of computations of least cost within the budget; None when there is none (proved)."""
    start, everything = (0, 0), (1 << len(question)) - 1
    costs: dict[State, int] = {start: 0}
    came: dict[State, tuple[State, int]] = {}
    queue = [(0, start)]
    while queue:
        cost, state = heapq.heappop(queue)
        if cost > costs[state]:
            continue
        if state[0] == everything:
            return _path(came, state)
        for value, paid, after in _steps(question, budget, state):
            if cost + paid < costs.get(after, cost + paid + 1):
                costs[after] = cost + paid
                came[after] = state, value
                heapq.heappush(queue, (cost + paid, after))
    return None


def _steps(question: Recompute, budget: int, state: State) -> Iterator[tuple[int, int, State]]:
    """(value computed or -1 for a value forgotten, cost, state after it)."""
    ever, alive = state
    operations = question.operations
    live = question.resident + sum(o.nbytes for u, o in enumerate(operations) if alive >> u & 1)
    for v, operation in enumerate(operations):
        bit = 1 << v
        if alive & bit:
            yield -1, 0, (ever, alive & ~bit)
        elif live + operation.nbytes <= budget and _may_run(question, state, v):
            yield v, operation.cost, (ever | bit, alive | bit)


def _may_run(question: Recompute, state: State, v: int) -> bool:
    ever, alive = state
    if any(not alive >> u & 1 for u in question.reads[v]):
        return False
    if ever >> v & 1:
        return not question.operations[v].pinned
    return not question.keep_order or ever == (1 << v) - 1


def _path(came: dict[State, tuple[State, int]], state: State) -> list[int]:
    order = []
    while state in came:
        state, value = came[state]
        if value >= 0:
            order.append(value)
    return order[::-1]
