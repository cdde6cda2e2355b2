"""Frontier -> Curve -> what the page draws of it: plans by peak memory and extra computing, and what is proved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graphmem.ir.recompute import Frontier, ModelFrontier
from graphmem.report.frontier import rows_of
from graphmem.report.units import size


@dataclass(frozen=True, slots=True)
class Spot:
    """One plan. Costs are fractions of one step's computing; `bound` is proved necessary for any plan of that peak.

    `grain` is what is computed again as a whole: an operation, or modules, with or without a policy inside.
    """

    peak: int
    overhead: float
    bound: float
    strategy: str
    grain: str = "operation"

    @property
    def is_optimal(self) -> bool:
        """True when no plan of this peak computes less."""
        return self.overhead <= self.bound


@dataclass(frozen=True, slots=True)
class Curve:
    """Plans from keeping all down to the least peak; `habits` are what is done without a plan, such as every block."""

    baseline: int
    floor: int
    spots: tuple[Spot, ...]
    habits: tuple[Spot, ...] = ()


def curve_of(found: Frontier) -> Curve:
    """The points of a frontier of operations."""
    total = max(1, found.question.total_cost)

    def part(cost: int) -> float:
        return max(0, cost - found.question.total_cost) / total

    spots = [Spot(p.judged.peak, part(p.judged.cost), part(p.bound), p.judged.strategy) for p in found.points]
    return Curve(found.baseline.peak, found.floor, tuple(spots))


def curve_of_model(found: ModelFrontier) -> Curve:
    """The plans of all grains that no other one beats, and what is done without a plan."""
    total = max(1, found.operations.question.total_cost)
    spots = [
        Spot(row.peak, max(0, row.again) / total, max(0, row.bound) / total, row.strategy, row.grain)
        for row in rows_of(found)
    ]
    habits = [Spot(h.plan.peak, h.plan.again / total, h.best / total, h.title, "habit") for h in found.practice]
    return Curve(found.operations.baseline.peak, found.operations.floor, tuple(spots), tuple(habits))


def curve_document(curve: Curve, chosen: int | None = None) -> dict[str, Any]:
    """The curve as plain values; `chosen` is the number of the plan to point out."""
    return {
        "baseline": curve.baseline,
        "floor": curve.floor,
        "chosen": chosen,
        "points": [_plain(spot) for spot in curve.spots],
        "habits": [_plain(spot) for spot in curve.habits],
    }


def _plain(spot: Spot) -> dict[str, Any]:
    return {
        "peak": spot.peak,
        "overhead": round(spot.overhead, 6),
        "bound": round(spot.bound, 6),
        "strategy": spot.strategy,
        "grain": spot.grain,
        "optimal": spot.is_optimal,
    }


def curve_title(curve: Curve, chosen: int | None = None) -> str:
    """Where it starts, and how to read it."""
    ring = "" if chosen is None else "; ringed: the cheapest whose tensors fit the device"
    habits = "; crosses: every block and its like, without a plan" if curve.habits else ""
    return f"keeping all takes {size(curve.baseline)}; dashed: proved necessary{habits}{ring}"


def cheapest_within(spots: Sequence[Spot], nbytes: int | None) -> int | None:
    """The plan of least extra computing that needs at most so many bytes; None without a limit or such a plan."""
    fitting = [(s.overhead, s.peak, i) for i, s in enumerate(spots) if nbytes is not None and s.peak <= nbytes]
    return min(fitting)[2] if fitting else None
