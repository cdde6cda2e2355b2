"""A trace of allocations -> what the CUDA caching allocator of PyTorch makes of it: allocated and reserved bytes.

    request 700 KiB -> rounded to 512 B -> best fit among free blocks of its pool, split when enough is left
                    -> on a miss a new segment: 2 MiB for small ones, 20 MiB or a multiple of 2 MiB for large ones

Sources: c10/core/AllocatorConfig.h (constants) and c10/cuda/CUDACachingAllocator.cpp of torch 2.13. One stream; no
out-of-memory handling; `allocated` counts whole blocks, as torch.cuda.memory_allocated does.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field

from graphmem.ir.errors import BrokenInvariantError

ROUND = 512
SMALL_SIZE = 1 << 20  # requests up to here come from the small pool
SMALL_BUFFER = 2 << 20
LARGE_BUFFER = 20 << 20
MIN_LARGE = 10 << 20
ROUND_LARGE = 2 << 20

# The workspace that cuBLAS takes from this allocator, by compute capability (CublasHandlePool.cpp).
CUBLAS_WORKSPACE = {8: 8_519_680, 9: 32 << 20, 10: 32 << 20, 12: 32 << 20}


@dataclass(slots=True, eq=False)
class Block:
    """A piece of a segment; neighbours are those at lower and higher addresses."""

    address: int
    size: int
    is_small: bool
    is_free: bool = True
    before: Block | None = None
    after: Block | None = None


@dataclass(slots=True)
class CachingAllocator:
    """The state of one device; `allocate` returns a handle for `release`."""

    expandable: bool = False
    allocated: int = 0
    reserved: int = 0
    peak_allocated: int = 0
    peak_reserved: int = 0
    _free: dict[bool, list[tuple[int, int, Block]]] = field(default_factory=lambda: {True: [], False: []})
    _last: dict[bool, Block | None] = field(default_factory=lambda: {True: None, False: None})
    _end: int = 0

    def allocate(self, request: int) -> Block:
        """A block for `request` bytes."""
        size = max(ROUND, -(-request // ROUND) * ROUND)
        block = self._best_fit(size) or self._grown(size)
        left = block.size - size
        if left >= ROUND if block.is_small or self.expandable else left > SMALL_SIZE:
            self._split(block, size)
        block.is_free = False
        self.allocated += block.size
        self.peak_allocated = max(self.peak_allocated, self.allocated)
        return block

    def release(self, block: Block) -> None:
        """Give a block back; it merges with free neighbours."""
        if block.is_free:
            raise BrokenInvariantError(f"the block at {block.address} was released twice")
        self.allocated -= block.size
        block.is_free = True
        for neighbour in (block.before, block.after):
            if neighbour is not None and neighbour.is_free:
                self._take(neighbour)
                self._merge(block, neighbour)
        insort(self._free[block.is_small], (block.size, block.address, block), key=lambda row: row[:2])

    def _best_fit(self, size: int) -> Block | None:
        rows = self._free[size <= SMALL_SIZE]
        at = bisect_left(rows, (size, -1), key=lambda row: row[:2])
        return rows.pop(at)[2] if at < len(rows) else None

    def _take(self, block: Block) -> None:
        rows = self._free[block.is_small]
        at = bisect_left(rows, (block.size, block.address), key=lambda row: row[:2])
        del rows[at]

    def _split(self, block: Block, size: int) -> None:
        rest = Block(block.address + size, block.size - size, block.is_small, before=block, after=block.after)
        if block.after is not None:
            block.after.before = rest
        block.size, block.after = size, rest
        if self._last[block.is_small] is block:
            self._last[block.is_small] = rest
        insort(self._free[block.is_small], (rest.size, rest.address, rest), key=lambda row: row[:2])

    def _merge(self, block: Block, other: Block) -> None:
        """Let `block` take over a neighbour."""
        if self._last[block.is_small] is other:
            self._last[block.is_small] = block
        if other is block.before:
            block.address, block.before = other.address, other.before
            if other.before is not None:
                other.before.after = block
        else:
            block.after = other.after
            if other.after is not None:
                other.after.before = block
        block.size += other.size

    def _grown(self, size: int) -> Block:
        """A free block from new memory."""
        is_small = size <= SMALL_SIZE
        if self.expandable:
            return self._extended(size, is_small)
        if is_small:
            segment = SMALL_BUFFER
        else:
            segment = LARGE_BUFFER if size < MIN_LARGE else -(-size // ROUND_LARGE) * ROUND_LARGE
        return self._mapped(segment, is_small)

    def _mapped(self, nbytes: int, is_small: bool) -> Block:
        block = Block(self._end, nbytes, is_small)
        self._end += nbytes
        self.reserved += nbytes
        self.peak_reserved = max(self.peak_reserved, self.reserved)
        return block

    def _extended(self, size: int, is_small: bool) -> Block:
        """The pool's one virtual segment, mapped further in pages; a free block at its end is used first."""
        page = SMALL_BUFFER if is_small else LARGE_BUFFER
        last = self._last[is_small]
        held = last.size if last is not None and last.is_free else 0
        block = self._mapped(-(-(size - held) // page) * page, is_small)
        block.before = last
        if last is not None:
            last.after = block
            if last.is_free:
                self._take(last)
                self._merge(block, last)
        self._last[is_small] = block
        return block


def replayed(events: Iterable[tuple[int, int]], expandable: bool = False) -> CachingAllocator:
    """The allocator after a trace of (handle, bytes) allocations and (handle, 0) releases."""
    allocator = CachingAllocator(expandable)
    live: dict[int, Block] = {}
    for handle, nbytes in events:
        if nbytes:
            live[handle] = allocator.allocate(nbytes)
        elif handle in live:
            allocator.release(live.pop(handle))
    return allocator
