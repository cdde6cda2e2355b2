"""Allocations in order -> the block that ONNX Runtime's memory pattern reserves for later runs (mem_pattern_planner.h).

Each buffer goes, when its turn comes, into the gap that it fills best, the first of equals; the room between the last
live buffer and the end of the block so far is a gap too. With none, the block grows. Nothing is moved or looked ahead
for, so the block is often larger than the peak of the run traced.

    block   [ a ][ b ]     [ c ]    |   d goes where it leaves less: here between b and c
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

from graphmem.ir.schedule import Schedule
from graphmem.memory.runtime_events import events

GRAIN = 256  # kAllocAlignment: the pattern rounds coarser than the allocator, which rounds to 64 bytes


def pattern_block(schedule: Schedule, numbers: Sequence[int], is_output: Sequence[bool]) -> int:
    """Bytes of the block; outputs and workspaces are not in it."""
    live: list[tuple[int, int, int]] = []  # (offset, size, buffer), by offset
    size = 0
    for _, (kind, buffer) in events(schedule, numbers):
        if kind == "workspace" or is_output[buffer] or schedule.buffers[buffer].kind == "kept":
            continue
        nbytes = -(-schedule.buffers[buffer].nbytes // GRAIN) * GRAIN
        if kind == "take" and nbytes:
            offset = _best_gap(live, nbytes, size)
            insort(live, (offset, nbytes, buffer))
            size = max(size, offset + nbytes)
        elif kind == "release" and nbytes:
            live = [row for row in live if row[2] != buffer]
    return size


def _best_gap(live: list[tuple[int, int, int]], nbytes: int, block: int) -> int:
    """Offset of the tightest gap that holds `nbytes`, or the end of the last live buffer."""
    best, waste, end = None, -1, 0
    for offset, size in (*((offset, size) for offset, size, _ in live), (block, 0)):
        gap = offset - end - nbytes
        if gap >= 0 and (best is None or gap < waste):
            best, waste = end, gap
        end = offset + size if offset < block else end
    return end if best is None else best


def pattern_peak(schedule: Schedule, numbers: Sequence[int], is_output: Sequence[bool]) -> int:
    """The most bytes alive in a later run: the block, the outputs so far, and the step's workspace."""
    held, peak = pattern_block(schedule, numbers, is_output), 0
    for _, (kind, what) in events(schedule, numbers):
        if kind == "take" and is_output[what]:
            held += schedule.buffers[what].nbytes
        peak = max(peak, held + (what if kind == "workspace" else 0))
    return peak
