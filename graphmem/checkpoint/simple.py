"""Recompute -> proposals by simple rules: keep all, every k-th value or module, PyTorch's own partitioner.

Keep-all computes everything once in the base order; the node floor proves a budget impossible.

The rules of practice compute again all between some kept values (Chen et al. 2016), or every module (as HF does).
Segments end where few bytes cross in the forward pass: those values are kept and all others of the forward pass are
computed again. With sqrt(n) segments a homogeneous chain needs memory for O(sqrt(n)) values at one more forward pass.

PyTorch's partitioner at an `activation_memory_budget`: minimum cut, then a knapsack; reimplemented from what
torch/_functorch/partitioners.py describes (torch 2.13, `activation_memory_budget`, "dp"), as a baseline: the values
that a minimum cut saves when only what is cheap is computed again are the items of a 0-1 knapsack. An item weighs its
bytes and is worth the time of its own operation alone; the budget is a part of all their bytes. What the knapsack
leaves out is computed again, with all that it needs. Neither the peak nor the chain of recomputation enters, which is
why its peak may rise while its budget falls.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from graphmem.checkpoint.archive import Archive
from graphmem.checkpoint.evaluate import judged
from graphmem.checkpoint.kernel import Kernel
from graphmem.checkpoint.mincut import Mask, Moment, offer
from graphmem.ir.recompute import Judged, Recompute


def propose_simple(kernel: Kernel, stage: int, archive: Archive) -> None:
    """Offer segments of every power of two of lengths, sqrt(n) segments, and the modules of every depth."""
    question = kernel.question
    if not 0 < stage < len(question):
        return
    for name, mask in [*segments(question, stage), *modules(question, stage)]:
        offer(kernel, stage, mask, archive, name)


def segments(question: Recompute, stage: int) -> Iterator[tuple[str, Mask]]:
    """(name, what is computed again) for sqrt(n) segments, and for segments of every 2nd, 4th, 8th ... narrow place."""
    places = narrow_places(question, stage)
    root = max(1, isqrt(len(places)))
    yield "sqrt(n)", _between(question, stage, places[::root])
    step = 1
    while step <= len(places):
        yield f"every {step}", _between(question, stage, places[::step])
        step *= 2


def narrow_places(question: Recompute, stage: int) -> list[int]:
    """Operations before which exactly one value of the forward pass is still to be read in it; else all of them."""
    crossing = np.zeros(stage + 1, dtype=np.int64)
    for v in range(stage):
        last = max((r for r in question.readers[v] if r < stage), default=v)
        crossing[v + 1] += 1
        crossing[last + 1] -= 1
    narrow = [int(p) for p in np.flatnonzero(np.cumsum(crossing) == 1) if 0 < p < stage]
    return narrow or list(range(1, stage))


def _between(question: Recompute, stage: int, places: list[int]) -> Mask:
    """All of the forward pass but the values that cross one of the places."""
    again = np.zeros(len(question), dtype=np.bool_)
    for v in range(stage):
        last = max((r for r in question.readers[v] if r < stage), default=v)
        crosses = any(v < place <= last for place in places)
        again[v] = not crosses and not question.operations[v].pinned
    return again


def modules(question: Recompute, stage: int) -> Iterator[tuple[str, Mask]]:
    """(name, what is computed again) when every module of one depth is checkpointed: only what leaves it is kept."""
    scopes = [question.operations[v].scope.split(".") for v in range(stage)]
    for depth in range(1, max(map(len, scopes), default=0) + 1):
        yield f"modules of depth {depth}", _inside(question, stage, [".".join(scope[:depth]) for scope in scopes])


def _inside(question: Recompute, stage: int, groups: list[str]) -> Mask:
    again = np.zeros(len(question), dtype=np.bool_)
    for v in range(stage):
        leaves = any(r < stage and groups[r] != groups[v] for r in question.readers[v])
        again[v] = bool(groups[v]) and not leaves and not question.operations[v].pinned
    return again


def keep_all(question: Recompute) -> Judged:
    """The course that computes nothing twice, in the base order: the peak that ratios refer to."""
    return judged(question, range(len(question)), "keep-all")


def node_floor(question: Recompute) -> tuple[int, int]:
    """(bytes, operation) of the operation that needs the most bytes for itself: its value and all that it reads.

    No course can stay below, whatever it computes again and in whatever order.
    """
    operations, reads = question.operations, question.reads
    needs = [operations[v].nbytes + sum(operations[u].nbytes for u in reads[v]) for v in range(len(question))]
    most = max(range(len(question)), key=lambda v: (needs[v], -v), default=0)
    return question.resident + (needs[most] if needs else 0), most


BUDGETS = tuple(i / 10 for i in range(11))
UNITS = 1000  # of the budget; weights are rounded up
CHEAP = 20  # an operation of at most total cost / CHEAP / operations is computed again as if it were fused


def propose_knapsack(kernel: Kernel, stage: int, archive: Archive) -> None:
    """Offer what PyTorch would choose at ten budgets."""
    if 0 < stage < len(kernel.question):
        for budget, mask in knapsack_choices(kernel.question, stage, BUDGETS):
            offer(kernel, stage, mask, archive, f"knapsack {budget:.1f}")


def knapsack_choices(question: Recompute, stage: int, budgets: tuple[float, ...]) -> Iterator[tuple[float, Mask]]:
    """(budget, what is computed again) for budgets from 0 (everything) to 1 (what is cheap)."""
    items = np.array(sorted(Moment(_with_cheap_ones_free(question), stage).free().saved), dtype=np.int64)
    sizes = np.array([question.operations[v].nbytes for v in items], dtype=np.int64)
    worth = np.array([question.operations[v].cost for v in items], dtype=np.float64)
    for budget in budgets:
        chosen = items[_knapsack(sizes, worth, int(budget * int(sizes.sum())))]
        again = np.zeros(len(question), dtype=np.bool_)
        again[:stage] = True
        again[chosen] = False
        again[[v for v in range(stage) if question.operations[v].pinned]] = False
        yield budget, again


def _with_cheap_ones_free(question: Recompute) -> Recompute:
    limit = question.total_cost // (CHEAP * max(1, len(question)))
    operations = tuple(replace(o, cost=0) if o.cost <= limit else o for o in question.operations)
    return replace(question, operations=operations)


def _knapsack(sizes: NDArray[np.int64], worth: NDArray[np.float64], room: int) -> NDArray[np.int64]:
    """The places of the items of greatest worth whose sizes fit the room."""
    unit = max(1, -(-room // UNITS))
    weights = -(-sizes // unit)
    width = room // unit + 1
    best = np.zeros(width)
    taken = np.zeros((len(sizes), width), dtype=np.bool_)
    for i, weight in enumerate(weights.tolist()):
        if weight < width:
            with_it = np.full(width, -1.0)
            with_it[weight:] = best[: width - weight] + worth[i]
            taken[i] = with_it > best
            best = np.maximum(best, with_it)
    place, chosen = width - 1, []
    for i in range(len(sizes) - 1, -1, -1):
        if taken[i, place]:
            chosen.append(i)
            place -= int(weights[i])
    return np.array(chosen[::-1], dtype=np.int64)
