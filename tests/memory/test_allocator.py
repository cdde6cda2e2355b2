"""The CUDA caching allocator: rounding, splitting, segments, and that every byte comes back."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from graphmem.ir.errors import BrokenInvariantError
from graphmem.memory.allocator import CUBLAS_WORKSPACE, CachingAllocator, replayed

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


KIB = 1 << 10


@pytest.mark.parametrize(
    ("request_", "allocated", "reserved"),
    [
        (512, 512, 2 * MIB),
        (513, 1024, 2 * MIB),
        (MIB, MIB, 2 * MIB),  # the largest of the small pool
        (MIB + 1, MIB + 512, 20 * MIB),
        (10 * MIB - 512, 10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB, 10 * MIB),  # from here on a multiple of 2 MiB
        (10 * MIB + 1, 10 * MIB + 512, 12 * MIB),
        (30 * MIB, 30 * MIB, 30 * MIB),
    ],
)
def test_requests_at_the_borders_of_the_pools(request_: int, allocated: int, reserved: int) -> None:
    a = CachingAllocator()
    a.allocate(request_)
    assert (a.allocated, a.reserved) == (allocated, reserved)
    assert (a.peak_allocated, a.peak_reserved) == (allocated, reserved)


@pytest.mark.parametrize(("left", "is_split"), [(MIB, False), (MIB + 512, True)])
def test_a_large_block_is_split_when_more_than_a_mebibyte_is_left(left: int, is_split: bool) -> None:
    a = CachingAllocator()
    assert a.allocate(20 * MIB - left).size == (20 * MIB - left if is_split else 20 * MIB)


def test_a_block_released_twice_raises() -> None:
    a = CachingAllocator()
    block = a.allocate(1)
    a.release(block)
    with pytest.raises(BrokenInvariantError, match="twice"):
        a.release(block)


def test_a_release_of_what_was_never_allocated_is_passed_over() -> None:
    assert replayed([(7, 0), (1, 100), (1, 0), (1, 0)]).allocated == 0


def test_cublas_takes_8_mebibytes_and_a_bit_up_to_ampere_and_32_from_hopper_on() -> None:
    assert CUBLAS_WORKSPACE == {8: 2 * 4096 * KIB + 8 * 16 * KIB, 9: 32 * MIB, 10: 32 * MIB, 12: 32 * MIB}


@dataclass
class Naive:
    """The same allocator as rows [address, bytes, is free] in lists, searched from end to end at every request."""

    expandable: bool
    allocated: int = 0
    reserved: int = 0
    small: list[list[list[int]]] = field(default_factory=list)
    large: list[list[list[int]]] = field(default_factory=list)

    def allocate(self, request: int) -> list[int]:
        need = -(-request // 512) * 512
        segments = self.small if need <= MIB else self.large
        fits = [row for segment in segments for row in segment if row[2] and row[1] >= need]
        row = min(fits, key=lambda r: (r[1], r[0])) if fits else self.grown(segments, need)
        if row[1] - need >= 512 if self.expandable or segments is self.small else row[1] - need > MIB:
            segment = next(s for s in segments if any(r is row for r in s))
            at = next(i for i, r in enumerate(segment) if r is row)
            segment.insert(at + 1, [row[0] + need, row[1] - need, 1])
            row[1] = need
        row[2] = 0
        self.allocated += row[1]
        return row

    def grown(self, segments: list[list[list[int]]], need: int) -> list[int]:
        if not self.expandable:
            size = 2 * MIB if need <= MIB else 20 * MIB if need < 10 * MIB else -(-need // (2 * MIB)) * 2 * MIB
            segments.append([[self.reserved, size, 1]])
            self.reserved += size
            return segments[-1][0]
        segments += [[]] * (not segments)
        page, tail = (2 * MIB if need <= MIB else 20 * MIB), segments[0][-1:]
        free = tail[0][1] if tail and tail[0][2] else 0
        size = -(-(need - free) // page) * page
        if free:
            tail[0][1] += size
        else:
            segments[0].append([self.reserved, size, 1])
        self.reserved += size
        return segments[0][-1]

    def release(self, row: list[int]) -> None:
        self.allocated -= row[1]
        row[2] = 1
        for segment in (*self.small, *self.large):
            for i in range(len(segment) - 2, -1, -1):
                if segment[i][2] and segment[i + 1][2]:
                    kept, gone = segment[i], segment.pop(i + 1)
                    kept[1] += gone[1]


@pytest.mark.parametrize("expandable", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_every_block_lies_where_the_search_from_end_to_end_puts_it(seed: int, expandable: bool) -> None:
    dice = random.Random(seed)
    ours, naive = CachingAllocator(expandable), Naive(expandable)
    live = []
    most = [0, 0]
    for _ in range(300):
        if live and dice.random() < 0.48:
            block, row = live.pop(dice.randrange(len(live)))
            ours.release(block)
            naive.release(row)
        else:
            request = dice.choice([1, 512, 700 * KIB, MIB, MIB + 1, 3 * MIB, 10 * MIB, 19 * MIB, 21 * MIB + 5])
            request = request if dice.random() < 0.5 else dice.randint(1, request)
            live.append((ours.allocate(request), naive.allocate(request)))
        most = [max(most[0], naive.allocated), max(most[1], naive.reserved)]
        assert (ours.allocated, ours.reserved) == (naive.allocated, naive.reserved)
        assert [(b.address, b.size) for b, _ in live] == [(row[0], row[1]) for _, row in live]
    assert [ours.peak_allocated, ours.peak_reserved] == most
