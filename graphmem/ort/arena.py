"""Schedule -> the bytes that ONNX Runtime's CPU arena holds after some runs, and the block of its memory pattern.

The arena (bfc_arena.cc): sizes are rounded up to 256 bytes. The smallest free chunk that fits is taken, the lowest of
equals, and split when it is at least twice the size. With none, the arena extends itself by a region: 1 MiB first, then
twice as much each time, and as many doublings as the request needs. Regions are never returned.

The order of a run, within a step: the buffers it writes, then its workspace, which goes again at once, then the buffers
read for the last time, by ascending value number (allocation_planner.cc builds the release list of a node in that
order).

The memory pattern reserves one block for later runs (mem_pattern_planner.h). Each buffer goes, when its turn comes,
into the gap that it fills best, the first of equals; the room between the last live buffer and the end of the block so
far is a gap too. With none, the block grows. Nothing is moved or looked ahead for, so the block is often larger than
the peak of the run traced.

    block   [ a ][ b ]     [ c ]    |   d goes where it leaves less: here between b and c
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from graphmem.ir.schedule import Schedule
from graphmem.memory.liveness import lifetimes

GRAIN = 256
FIRST_REGION = 1 << 20
MAX_REGION = 1 << 30
MAX_WASTE = 128 << 20


Chunk: TypeAlias = tuple[int, int, int]  # size, region, offset


@dataclass(slots=True)
class Chunks:
    """Free chunks, sorted by size; `starts` and `ends` have the sizes of those that begin and end somewhere."""

    free: list[Chunk] = field(default_factory=list)
    starts: dict[tuple[int, int], int] = field(default_factory=dict)
    ends: dict[tuple[int, int], int] = field(default_factory=dict)

    def tightest(self, nbytes: int) -> Chunk | None:
        """The smallest chunk that holds so many bytes, the first of equals, taken out; None without one."""
        i = bisect_left(self.free, (nbytes,))
        if i == len(self.free):
            return None
        found = self.free[i]
        self.remove(*found)
        return found

    def release(self, chunk: Chunk) -> None:
        """Free the chunk, merged with free neighbours."""
        size, region, offset = chunk
        after = self.starts.get((region, offset + size))
        if after is not None:
            self.remove(after, region, offset + size)
            size += after
        before = self.ends.get((region, offset))
        if before is not None:
            self.remove(before, region, offset - before)
            size, offset = size + before, offset - before
        self.insert(size, region, offset)

    def insert(self, size: int, region: int, offset: int) -> None:
        """Add a chunk whose neighbours are taken."""
        insort(self.free, (size, region, offset))
        self.starts[region, offset] = size
        self.ends[region, offset + size] = size

    def remove(self, size: int, region: int, offset: int) -> None:
        """Take a free chunk out."""
        self.free.pop(bisect_left(self.free, (size, region, offset)))
        del self.starts[region, offset]
        del self.ends[region, offset + size]


@dataclass(slots=True)
class Arena:
    """Regions, and what is free in them."""

    next_region: int = FIRST_REGION
    regions: list[int] = field(default_factory=list)
    chunks: Chunks = field(default_factory=Chunks)

    @property
    def held(self) -> int:
        """Bytes of all regions."""
        return sum(self.regions)

    def allocate(self, nbytes: int) -> Chunk | None:
        """(size, region, offset) of the chunk taken; None for no bytes."""
        if not nbytes:
            return None
        wanted = -(-nbytes // GRAIN) * GRAIN
        found = self.chunks.tightest(wanted)
        if found is None:
            self._extend(wanted)
            found = self.chunks.tightest(wanted)
        assert found is not None, "a region holds what it was added for"
        size, region, offset = found
        if size >= 2 * wanted or size - wanted >= MAX_WASTE:
            self.chunks.insert(size - wanted, region, offset + wanted)
            size = wanted
        return size, region, offset

    def release(self, chunk: Chunk | None) -> None:
        """Free the chunk, if there is one."""
        if chunk is not None:
            self.chunks.release(chunk)

    def _extend(self, wanted: int) -> None:
        is_enough = wanted <= self.next_region
        while wanted > self.next_region:
            self.next_region *= 2
        self.regions.append(self.next_region)
        self.chunks.insert(self.next_region, len(self.regions) - 1, 0)
        if is_enough and self.next_region < MAX_REGION:
            self.next_region *= 2


# ("take" or "release", buffer) or ("workspace", bytes)
Event: TypeAlias = "tuple[Literal['take', 'release', 'workspace'], int]"


def events(schedule: Schedule, numbers: Sequence[int]) -> Iterator[tuple[int, Event]]:
    """(step, event); buffers that leave, and those that no step reads, are never released during the run."""
    alive = lifetimes(schedule)
    leaving = set(schedule.leaving)
    ending: list[list[int]] = [[] for _ in schedule.steps]
    for buffer in sorted(range(len(schedule.buffers)), key=lambda b: (numbers[b], b)):
        if buffer not in leaving:
            ending[int(alive.stop[buffer]) - 1].append(buffer)
    for i, step in enumerate(schedule.steps):
        for buffer in step.writes:
            yield i, ("take", buffer)
        if step.workspace:
            yield i, ("workspace", step.workspace)
        for buffer in ending[i]:
            yield i, ("release", buffer)


PATTERN_GRAIN = 256  # kAllocAlignment: the pattern rounds coarser than the allocator, which rounds to 64 bytes


@dataclass(slots=True)
class Block:
    """The block of a pattern as it grows: `size` bytes so far, of which the free chunks are gaps."""

    size: int = 0
    chunks: Chunks = field(default_factory=Chunks)

    def allocate(self, nbytes: int) -> Chunk:
        """The tightest gap that holds `nbytes`, or what follows the last live buffer."""
        found = self.chunks.tightest(nbytes)
        if found is None:
            last = self.chunks.ends.get((0, self.size), 0)  # the gap at the end, too small: the block grows
            if last:
                self.chunks.remove(last, 0, self.size - last)
            found = (nbytes, 0, self.size - last)
            self.size += nbytes - last
            return found
        size, _, offset = found
        if size > nbytes:
            self.chunks.insert(size - nbytes, 0, offset + nbytes)
        return nbytes, 0, offset


def pattern_block(schedule: Schedule, numbers: Sequence[int], is_output: Sequence[bool]) -> int:
    """Bytes of the block; outputs and workspaces are not in it."""
    block, live = Block(), {}
    for _, (kind, buffer) in events(schedule, numbers):
        if kind == "workspace" or is_output[buffer] or schedule.buffers[buffer].kind == "kept":
            continue
        nbytes = -(-schedule.buffers[buffer].nbytes // PATTERN_GRAIN) * PATTERN_GRAIN
        if kind == "take" and nbytes:
            live[buffer] = block.allocate(nbytes)
        elif kind == "release" and nbytes:
            block.chunks.release(live.pop(buffer))
    return block.size


def pattern_peak(schedule: Schedule, numbers: Sequence[int], is_output: Sequence[bool]) -> int:
    """The most bytes alive in a later run: the block, the outputs so far, and the step's workspace."""
    held, peak = pattern_block(schedule, numbers, is_output), 0
    for _, (kind, what) in events(schedule, numbers):
        if kind == "take" and is_output[what]:
            held += schedule.buffers[what].nbytes
        peak = max(peak, held + (what if kind == "workspace" else 0))
    return peak


def arena_held(
    schedule: Schedule,
    numbers: Sequence[int],
    is_output: Sequence[bool],
    workspaces: Sequence[Sequence[int]],
    pattern: bool,
    runs: int = 2,
) -> int:
    """Bytes held by the arena; from the second run on, with `pattern`, one block stands for all but the outputs.

    `workspaces` are the sizes that each step takes together.
    """
    arena = Arena()
    block = pattern_block(schedule, numbers, is_output) if pattern else 0
    for run in range(runs):
        is_traced = pattern and run > 0
        held = [arena.allocate(block)] if is_traced else []
        taken: dict[int, Chunk | None] = {}
        for step, (kind, what) in events(schedule, numbers):
            if kind == "workspace":
                for chunk in [arena.allocate(nbytes) for nbytes in workspaces[step]]:
                    arena.release(chunk)
            elif schedule.buffers[what].kind != "kept" and (not is_traced or is_output[what]):
                if kind == "take":
                    taken[what] = arena.allocate(schedule.buffers[what].nbytes)
                else:
                    arena.release(taken.pop(what))
        for chunk in (*taken.values(), *held):
            arena.release(chunk)
    return arena.held
