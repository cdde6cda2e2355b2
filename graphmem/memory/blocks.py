"""Lifetimes -> Blocks: the run cut wherever a single tensor connects what was with what comes.

    step      6   7   8   9  10
    a        [===============)
    b            [=======)                    cuts after 6 and after 9: there only a, only d crosses
    c                [=======)
    d                    [=======)

Set aside, and so free to cross any cut, are buffers alive in more than half of all steps (an attention mask, a shared
table) and those below a hundredth of the peak (shapes and other scalars).
A block of one step joins the block before it, unless the whole run is such a chain.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from graphmem.ir.memory import Lifetimes, Timeline
from graphmem.ir.profile import Block

LEAST = 100  # a buffer counts from this part of the peak on


def blocks(alive: Lifetimes, live: Timeline) -> tuple[Block, ...]:
    """The blocks in order; together they are all steps."""
    steps = live.live.size
    if not steps:
        return ()
    edges = [0, *_joined(_cuts(alive, live), steps), steps]
    return tuple(Block(start, stop, int(live.live[start:stop].max())) for start, stop in pairwise(edges))


def _cuts(alive: Lifetimes, live: Timeline) -> list[int]:
    """Steps that start a block: at most one buffer that counts is alive both there and in the step before."""
    steps = live.live.size
    is_short = 2 * (alive.stop - alive.start) <= max(steps, 4)
    counts = is_short & (alive.nbytes * LEAST > live.peak) & (alive.stop > alive.start)
    change = np.zeros(steps + 1, dtype=np.int64)
    np.add.at(change, alive.start[counts], 1)
    np.subtract.at(change, alive.stop[counts] - 1, 1)
    crossing = np.cumsum(change)[: steps - 1]
    return [int(step) + 1 for step in np.flatnonzero(crossing <= 1)]


def _joined(cuts: list[int], steps: int) -> list[int]:
    """The cuts without those that start a block of one step."""
    ends = [*cuts, steps][1:]
    return [cut for cut, end in zip(cuts, ends, strict=True) if end - cut > 1] or cuts
