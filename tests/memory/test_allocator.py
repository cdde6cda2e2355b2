"""The CUDA caching allocator: rounding, splitting, segments, and that every byte comes back."""

from __future__ import annotations

import random

from graphmem.memory.allocator import CachingAllocator, replayed

MIB = 1 << 20


def test_a_small_request_takes_512_bytes_of_a_2_mib_segment() -> None:
    a = CachingAllocator()
    a.allocate(1)
    assert (a.allocated, a.reserved) == (512, 2 * MIB)


def test_a_request_of_3_mib_takes_a_segment_of_20() -> None:
    a = CachingAllocator()
    a.allocate(3 * MIB)
    assert (a.allocated, a.reserved) == (3 * MIB, 20 * MIB)


def test_a_request_of_11_mib_takes_a_segment_of_12_whole() -> None:
    a = CachingAllocator()
    a.allocate(11 * MIB)
    assert (a.allocated, a.reserved) == (12 * MIB, 12 * MIB)  # 1 MiB left over is not split off


def test_expandable_segments_map_pages_as_needed() -> None:
    a = CachingAllocator(expandable=True)
    a.allocate(11 * MIB)
    a.allocate(11 * MIB)
    assert (a.allocated, a.reserved) == (22 * MIB, 40 * MIB)  # two pages of 20


def test_every_byte_comes_back_and_peaks_stay() -> None:
    for expandable in (False, True):
        chance = random.Random(0)
        a = CachingAllocator(expandable)
        live = []
        for _ in range(5000):
            if live and chance.random() < 0.5:
                a.release(live.pop(chance.randrange(len(live))))
            else:
                live.append(a.allocate(int(2 ** chance.uniform(4, 25))))
            assert a.allocated == sum(block.size for block in live) <= a.reserved
        for block in live:
            a.release(block)
        free = sum(size for rows in a._free.values() for size, _, _ in rows)
        assert (a.allocated, free) == (0, a.reserved)


def test_a_freed_block_is_used_again() -> None:
    a = replayed([(1, 5 * MIB), (1, 0), (2, 5 * MIB)])
    assert a.peak_reserved == 20 * MIB
