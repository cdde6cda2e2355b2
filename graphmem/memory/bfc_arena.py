"""Allocations in order -> the bytes that ONNX Runtime's CPU arena holds in the end (bfc_arena.cc).

Sizes are rounded up to 256 bytes. The smallest free chunk that fits is taken, the lowest of equals, and split when it
is at least twice the size. With none, the arena extends itself by a region: 1 MiB first, then twice as much each time,
and as many doublings as the request needs. Regions are never returned.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

GRAIN = 256
FIRST_REGION = 1 << 20
MAX_REGION = 1 << 30
MAX_WASTE = 128 << 20


@dataclass(slots=True)
class Arena:
    """`free` are (size, region, offset), sorted; `next_free` finds the neighbour that a freed chunk merges with."""

    next_region: int = FIRST_REGION
    regions: list[int] = field(default_factory=list)
    free: list[tuple[int, int, int]] = field(default_factory=list)
    starts: dict[tuple[int, int], int] = field(default_factory=dict)
    ends: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def held(self) -> int:
        """Bytes of all regions."""
        return sum(self.regions)

    def allocate(self, nbytes: int) -> tuple[int, int, int] | None:
        """(size, region, offset) of the chunk taken; None for no bytes."""
        if not nbytes:
            return None
        wanted = -(-nbytes // GRAIN) * GRAIN
        i = bisect_left(self.free, (wanted,))
        if i == len(self.free):
            self._extend(wanted)
            i = bisect_left(self.free, (wanted,))
        size, region, offset = self.free[i]
        self._remove(size, region, offset)
        if size >= 2 * wanted or size - wanted >= MAX_WASTE:
            self._insert(size - wanted, region, offset + wanted)
            size = wanted
        return size, region, offset

    def release(self, chunk: tuple[int, int, int] | None) -> None:
        """Free the chunk, merged with free neighbours."""
        if chunk is None:
            return
        size, region, offset = chunk
        after = self.starts.get((region, offset + size))
        if after is not None:
            self._remove(after, region, offset + size)
            size += after
        before = self.ends.get((region, offset))
        if before is not None:
            self._remove(before, region, offset - before)
            size, offset = size + before, offset - before
        self._insert(size, region, offset)

    def _extend(self, wanted: int) -> None:
        is_enough = wanted <= self.next_region
        while wanted > self.next_region:
            self.next_region *= 2
        self.regions.append(self.next_region)
        self._insert(self.next_region, len(self.regions) - 1, 0)
        if is_enough and self.next_region < MAX_REGION:
            self.next_region *= 2

    def _insert(self, size: int, region: int, offset: int) -> None:
        insort(self.free, (size, region, offset))
        self.starts[region, offset] = size
        self.ends[region, offset + size] = size

    def _remove(self, size: int, region: int, offset: int) -> None:
        self.free.pop(bisect_left(self.free, (size, region, offset)))
        del self.starts[region, offset]
        del self.ends[region, offset + size]
