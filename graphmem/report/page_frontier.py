"""Frontier -> what the page draws of it: its points as fractions of one step's computing."""

from __future__ import annotations

from typing import Any

from graphmem.ir.recompute import Frontier
from graphmem.report.units import size


def frontier_document(found: Frontier, chosen: int | None = None) -> dict[str, Any]:
    """Points in the order given: bytes, extra computing and its proved lower bound, who found it; the one to choose."""
    total = max(1, found.question.total_cost)
    return {
        "baseline": found.baseline.peak,
        "floor": found.floor,
        "chosen": chosen,
        "points": [
            {
                "peak": point.judged.peak,
                "overhead": round((point.judged.cost - found.question.total_cost) / total, 6),
                "bound": round(max(0, point.bound - found.question.total_cost) / total, 6),
                "strategy": point.judged.strategy,
                "optimal": point.is_optimal,
            }
            for point in found.points
        ],
    }


def frontier_title(found: Frontier) -> str:
    """Where it starts and what no course can go below."""
    return f"keeping all takes {size(found.baseline.peak)}, dashed: proved necessary"


def cheapest_within(found: Frontier, nbytes: int | None) -> int | None:
    """The point of least extra computing that needs at most so many bytes; None without a limit or such a point."""
    fitting = [(p.judged.cost, p.judged.peak, i) for i, p in enumerate(found.points)]
    fitting = [row for row in fitting if nbytes is not None and row[1] <= nbytes]
    return min(fitting)[2] if fitting else None
