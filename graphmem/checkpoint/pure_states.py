"""States -> order of computations: every value is kept, or dropped at a stage and computed again when it is asked for.

A stage is the first computation of one operation, in base order. Value v is dropped at stage `cut[v]` (the number of
operations when it is kept): later stages find it only where it has been computed again since, and if it is transient
only in the stage that did so. What is asked for and missing is computed right before, and so are its own sources.

Three states per value: kept (no cut), computed again and kept (cut), computed again and dropped (cut, transient).
"""

from __future__ import annotations

from collections.abc import Sequence


def expand(reads: Sequence[Sequence[int]], cut: Sequence[int], transient: Sequence[int], most: int) -> list[int] | None:
    """The order of computations; None when it is longer than `most`."""
    order: list[int] = []
    newest = [-1] * len(reads)  # per value, the stage of its newest instance
    for stage in range(len(reads)):
        todo = [stage]
        while todo:
            value = todo[-1]
            missing = [u for u in reads[value] if not _is_there(u, stage, newest, cut, transient)]
            if missing:
                todo.append(missing[0])
                continue
            todo.pop()
            order.append(value)
            newest[value] = stage
            if len(order) > most:
                return None
    return order


def _is_there(u: int, stage: int, newest: list[int], cut: Sequence[int], transient: Sequence[int]) -> bool:
    if stage < cut[u] or newest[u] == stage:
        return True
    return newest[u] >= cut[u] and not transient[u]


def profile(reads: Sequence[Sequence[int]], size: Sequence[int], order: Sequence[int]) -> list[int]:
    """Bytes alive in every step, counted backwards: alive is what a later step reads before its next instance."""
    alive: set[int] = set()
    total = 0
    live = [0] * len(order)
    for step in range(len(order) - 1, -1, -1):
        value = order[step]
        for u in reads[value]:
            if u not in alive:
                alive.add(u)
                total += size[u]
        live[step] = total if value in alive else total + size[value]
        if value in alive:
            alive.remove(value)
            total -= size[value]
    return live
