"""Collective calls -> bytes on the links, as ring algorithms send them; n bytes is the whole buffer, W the ranks.

    all-reduce       2 (W-1) n    a reduce-scatter and an all-gather of n
    reduce-scatter     (W-1) n    n bytes come in on every rank, n / W stay: each of W chunks makes W-1 hops
    all-gather         (W-1) n    n / W bytes come in on every rank, n stay
    broadcast          (W-1) n    along a chain
    point-to-point           n

Sums over all ranks, so they are whole numbers whatever the chunks are; one rank sends 1 / W of a ring's on average.
"""

from __future__ import annotations

from collections.abc import Iterable

from graphmem.ir.ranks import Collective

HOPS = {"all-reduce": 2, "reduce-scatter": 1, "all-gather": 1, "broadcast": 1}  # times W - 1


def sent(operation: str, nbytes: int, ranks: int) -> int:
    """Bytes that all ranks together send for one call on a buffer of `nbytes`."""
    return nbytes if operation == "point-to-point" else HOPS[operation] * (ranks - 1) * nbytes


def collective(operation: str, what: str, buffers: Iterable[int], ranks: int) -> list[Collective]:
    """One row for calls on these buffers; none where nothing is sent."""
    sizes = [nbytes for nbytes in buffers if nbytes]
    total = sum(sent(operation, nbytes, ranks) for nbytes in sizes)
    return [Collective(operation, what, len(sizes), sum(sizes), total)] if total else []
