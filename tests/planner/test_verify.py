from __future__ import annotations

import random
from dataclasses import replace
from itertools import combinations

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


def test_a_negative_offset_raises_and_zero_does_not() -> None:
    verify(made(0, 8, 0), ROWS)
    for offset in (-1, -8):
        with pytest.raises(BrokenInvariantError, match=f"placed at {offset}"):
            verify(made(offset, 8, 0), ROWS)


def test_each_buffer_may_have_an_alignment_of_its_own_and_a_fixed_one_none() -> None:
    verify(made(0, 12, 0, alignment=8), ROWS, alignments={"b": 4})
    with pytest.raises(BrokenInvariantError, match="aligned to 3"):
        verify(made(0, 8, 0, alignment=8), ROWS, alignments={"b": 3})
    verify(made(0, 13, 0, alignment=8), ROWS, fixed={"b": 13})
    with pytest.raises(BrokenInvariantError, match="fixed"):
        verify(made(0, 8, 0, alignment=8), ROWS, fixed={"a": 8, "b": 8})
    with pytest.raises(BrokenInvariantError, match="'b' is at 8, not at its fixed offset"):
        verify(made(0, 8, 0), ROWS, fixed={"b": 4})


def test_an_arena_at_its_bound_passes() -> None:
    verify(replace(made(0, 8, 0), lower_bound=16), ROWS)
    verify(replace(made(0, 8, 0), lower_bound=15), ROWS)


def test_a_message_names_the_two_that_overlap() -> None:
    with pytest.raises(BrokenInvariantError, match="'b' at 7 overlaps 'a' at 0: please report"):
        verify(made(0, 7, 16), ROWS)


def shares_bytes(plan: Plan, pairs: set[frozenset[str]]) -> bool:
    """Whether two buffers alive in one step share a byte, looked at pair by pair, byte by byte."""
    for one, other in combinations(plan.placements, 2):
        a, b = one.lifetime, other.lifetime
        bytes_ = set(range(one.offset, one.offset + a.nbytes)) & set(range(other.offset, other.offset + b.nbytes))
        steps = set(range(a.start, a.stop)) & set(range(b.start, b.stop))
        may_share = frozenset((a.buffer, b.buffer)) in pairs and one.offset == other.offset
        if bytes_ and steps and not may_share:
            return True
    return False


@pytest.mark.parametrize("with_pairs", [False, True])
def test_random_plans_are_refused_exactly_when_two_share_a_byte_in_a_step(with_pairs: bool) -> None:
    dice, refused = random.Random(5), 0
    for _ in range(1500):
        count = dice.randint(2, 6)
        rows = [(dice.randint(0, 5), dice.randint(0, 4), dice.randint(0, 3)) for _ in range(count)]
        lives = [Lifetime(f"b{i}", nbytes, start, start + length) for i, (nbytes, start, length) in enumerate(rows)]
        plan = Plan("by dice", tuple(Placement(life, dice.randint(0, 12)) for life in lives), 0)
        pairs = [tuple(dice.sample([life.buffer for life in lives], 2)) for _ in range(3 * with_pairs)]
        is_refused = shares_bytes(plan, set(map(frozenset, pairs)))
        refused += is_refused
        if is_refused:
            with pytest.raises(BrokenInvariantError, match="overlaps"):
                verify(plan, Lifetimes.of(lives), in_place=pairs)
        else:
            verify(plan, Lifetimes.of(lives), in_place=pairs)
    assert 300 < refused < 1200
