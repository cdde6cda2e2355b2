from __future__ import annotations

from dataclasses import replace

import pytest

from graphmem.ir.errors import BrokenInvariantError
from graphmem.ir.memory import Lifetime, Lifetimes, Placement, Plan
from graphmem.planner import verify

LIVES = [Lifetime("a", 8, 0, 2), Lifetime("b", 8, 1, 3), Lifetime("c", 8, 2, 4)]
ROWS = Lifetimes.of(LIVES)


def made(*offsets: int, alignment: int = 1) -> Plan:
    return Plan("by hand", tuple(Placement(life, at) for life, at in zip(LIVES, offsets, strict=True)), 16, alignment)


def test_a_plan_without_overlap_passes() -> None:
    verify(made(0, 8, 0), ROWS)


@pytest.mark.parametrize("offsets", [(0, 0, 16), (0, 7, 16), (7, 0, 16), (0, 8, 1)])
def test_a_shared_byte_raises(offsets: tuple[int, int, int]) -> None:
    with pytest.raises(BrokenInvariantError, match="overlaps"):
        verify(made(*offsets), ROWS)


def test_a_missing_buffer_raises() -> None:
    short = replace(made(0, 8, 0), placements=made(0, 8, 0).placements[:2])
    with pytest.raises(BrokenInvariantError, match="exactly"):
        verify(short, ROWS)


def test_an_unaligned_offset_raises() -> None:
    with pytest.raises(BrokenInvariantError, match="aligned"):
        verify(made(0, 8, 4, alignment=8), ROWS)


def test_a_moved_fixed_offset_raises() -> None:
    with pytest.raises(BrokenInvariantError, match="fixed"):
        verify(made(0, 8, 0), ROWS, fixed={"b": 16})


def test_an_arena_below_its_bound_raises() -> None:
    with pytest.raises(BrokenInvariantError, match="bound"):
        verify(replace(made(0, 8, 0), lower_bound=17), ROWS)


def test_an_in_place_pair_may_share_only_one_offset() -> None:
    verify(made(8, 8, 0), ROWS, in_place=[("a", "b")])
    with pytest.raises(BrokenInvariantError, match="overlaps"):
        verify(made(8, 12, 0), ROWS, in_place=[("a", "b")])
