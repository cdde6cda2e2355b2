"""The rules of practice: recompute all between some kept values (Chen et al. 2016), or every module (as HF does).

Segments end where few bytes cross in the forward pass: those values are kept and all others of the forward pass are
computed again. With sqrt(n) segments a homogeneous chain needs memory for O(sqrt(n)) values at one more forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt

import numpy as np

from graphmem.checkpoint.archive import Archive
from graphmem.checkpoint.hull import Mask, offer
from graphmem.checkpoint.kernel import Kernel
from graphmem.ir.recompute import Recompute


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
