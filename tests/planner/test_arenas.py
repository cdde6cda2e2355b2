from __future__ import annotations

from graphmem.ir.memory import Lifetime, Lifetimes
from graphmem.planner.arenas import split
from tests.planner.instances import random_lifetimes


def test_nothing_spills_where_all_fits() -> None:
    lifetimes = random_lifetimes(3, 20)
    both = split(lifetimes, int(lifetimes.nbytes.sum()))
    assert (both.moved, both.moved_bound, len(both.dram.placements)) == (0, 0, 0)


def test_the_cheapest_sufficient_buffer_spills() -> None:
    rows = Lifetimes.of([Lifetime("big", 10, 0, 3), Lifetime("mid", 6, 0, 3), Lifetime("small", 2, 1, 2)])
    both = split(rows, 12)  # 10 + 6 + 2 alive, 6 too many: mid alone relieves them
    assert [p.lifetime.buffer for p in both.dram.placements] == ["mid"]
    assert (both.moved, both.moved_bound) == (2 * 6, 2 * 6)


def test_traffic_decides_between_equals() -> None:
    rows = Lifetimes.of([Lifetime("hot", 8, 0, 2), Lifetime("cold", 8, 0, 2)])
    both = split(rows, 8, traffic={"hot": 80, "cold": 16})
    assert [p.lifetime.buffer for p in both.dram.placements] == ["cold"]


def test_every_buffer_is_in_one_memory_and_the_chip_holds_its_share() -> None:
    for seed in range(60):
        lifetimes = random_lifetimes(seed, 25)
        both = split(lifetimes, 40)
        names = [p.lifetime.buffer for plan in (both.on_chip, both.dram) for p in plan.placements]
        assert sorted(names) == sorted(lifetimes.buffers)
        assert both.on_chip.arena <= 40
        assert both.moved >= both.moved_bound


def test_a_chip_of_no_bytes_spills_everything() -> None:
    assert split(random_lifetimes(1, 10), 0).on_chip.arena == 0
