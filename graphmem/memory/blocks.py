"""Lifetimes -> Blocks: the run cut wherever a single tensor connects what was with what comes.

    step      0   1   2   3   4   5
    a        [=======)
    b            [===========)                 cuts after 0 and after 2: there only a, only b crosses
    c                    [===)
    d                        [=======)

A buffer alive in more than half of all steps (an attention mask, a shared table) is set aside: it crosses every cut.
A block of one step joins the block before it, unless the whole run is such a chain.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from graphmem.ir.memory import IntColumn, Lifetimes, Timeline
from graphmem.ir.profile import Block


def blocks(alive: Lifetimes, live: Timeline) -> tuple[Block, ...]:
    """The blocks in order; together they are all steps."""
    steps = live.live.size
    if not steps:
        return ()
    edges = [0, *_joined(_cuts(alive, steps), steps), steps]
    return tuple(Block(start, stop, int(live.live[start:stop].max())) for start, stop in pairwise(edges))


def crossing(alive: Lifetimes, steps: int) -> IntColumn:
    """How many buffers are alive both in step s and in step s + 1, for every s but the last, long-lived ones aside."""
    counts = (alive.nbytes > 0) & (2 * (alive.stop - alive.start) <= max(steps, 4))
    change = np.zeros(steps + 1, dtype=np.int64)
    np.add.at(change, alive.start[counts], 1)
    np.subtract.at(change, np.maximum(alive.stop[counts] - 1, alive.start[counts]), 1)
    return np.cumsum(change)[: steps - 1]


def _cuts(alive: Lifetimes, steps: int) -> list[int]:
    """Steps that start a block."""
    return [int(step) + 1 for step in np.flatnonzero(crossing(alive, steps) == 1)]


def _joined(cuts: list[int], steps: int) -> list[int]:
    """The cuts without those that start a block of one step."""
    ends = [*cuts, steps][1:]
    return [cut for cut, end in zip(cuts, ends, strict=True) if end - cut > 1] or cuts
