"""Plan -> nothing, or BrokenInvariantError: the slow and obvious check that every plan passes before anyone sees it.

It knows nothing of how plans are made: it compares the plan with the lifetimes that were asked for, one by one, and
looks for two buffers that are alive in the same step and share a byte.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Mapping

from graphmem.ir.errors import BrokenInvariantError
from graphmem.ir.memory import Lifetimes, Placement, Plan


def verify(
    plan: Plan,
    lifetimes: Lifetimes,
    *,
    fixed: Mapping[str, int] | None = None,
    alignments: Mapping[str, int] | None = None,
    in_place: Collection[tuple[str, str]] = (),
) -> None:
    """Raises BrokenInvariantError unless the plan is a plan of these lifetimes under these options.

    A buffer of 0 bytes or of no step takes part in nothing. An `in_place` pair may share bytes if it has one offset.
    """
    if [p.lifetime for p in plan.placements] != list(lifetimes):
        raise BrokenInvariantError(f"a plan by {plan.method!r} does not place exactly the lifetimes that it was given")
    for p in plan.placements:
        name = p.lifetime.buffer
        _require(p.offset >= 0, f"{name!r} is placed at {p.offset}")
        step = (alignments or {}).get(name, plan.alignment)
        if name in (fixed or {}):
            _require(p.offset == (fixed or {})[name], f"{name!r} is at {p.offset}, not at its fixed offset")
        else:
            _require(p.offset % step == 0, f"{name!r} is at {p.offset}, which is not aligned to {step}")
    _require(plan.arena >= plan.lower_bound, f"the arena of {plan.arena} is below the bound of {plan.lower_bound}")
    _require_no_overlap(plan, {frozenset(pair) for pair in in_place})


def _require_no_overlap(plan: Plan, pairs: set[frozenset[str]]) -> None:
    """Walks the steps; what is alive stays sorted by offset, so that a newcomer need only look around itself."""
    alive: list[tuple[int, int, int]] = []  # (offset, index in placements, end)
    events = []
    for index, p in enumerate(plan.placements):
        if p.lifetime.nbytes and p.lifetime.start < p.lifetime.stop:
            events += [(p.lifetime.start, 1, index), (p.lifetime.stop, 0, index)]
    longest = max((p.lifetime.nbytes for p in plan.placements), default=0)
    for _, opens, index in sorted(events):
        p = plan.placements[index]
        entry = (p.offset, index, p.offset + p.lifetime.nbytes)
        if not opens:
            del alive[bisect_left(alive, entry)]
            continue
        below = bisect_left(alive, (p.offset + p.lifetime.nbytes, -1, 0))
        _require_free(plan, p, alive, below, longest, pairs)
        insort(alive, entry)


def _require_free(
    plan: Plan,
    new: Placement,
    alive: list[tuple[int, int, int]],
    below: int,
    longest: int,
    pairs: set[frozenset[str]],
) -> None:
    """Looks down at what begins below the newcomer's end; without pairs only the first can reach it."""
    while below:
        below -= 1
        offset, other_index, end = alive[below]
        other = plan.placements[other_index]
        may_share = frozenset((new.lifetime.buffer, other.lifetime.buffer)) in pairs and offset == new.offset
        _require(
            end <= new.offset or may_share,
            f"{new.lifetime.buffer!r} at {new.offset} overlaps {other.lifetime.buffer!r} at {offset}",
        )
        if not pairs or offset + longest <= new.offset:
            return


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise BrokenInvariantError(f"{message}: please report this plan as a bug of graphmem's planner")
