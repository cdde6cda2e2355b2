"""Training -> Replay: every allocation of the step at the address that the CUDA caching allocator gives it."""

from __future__ import annotations

from dataclasses import replace

from graphmem.ir.replay import Replay, Served
from graphmem.ir.training import StepDetails, Training
from graphmem.memory.allocator import Block, CachingAllocator, replayed

CUBLAS, SCRATCH = "cuBLAS workspace", "workspace"


def with_cublas(training: Training, details: StepDetails, nbytes: int) -> Training:
    """The step on a card whose cuBLAS takes so much workspace: newer ones take more (CUBLAS_WORKSPACE)."""
    found = training.allocator
    if found is None or found.cublas_workspace == nbytes:
        return training
    sizes = [buffer.nbytes for buffer in training.schedule.buffers] + [size for size, _ in details.scratch]
    events = [(0, nbytes)] + [(e, sizes[e - 1]) if e > 0 else (-e, 0) for e in details.events.tolist()]
    native, expandable = replayed(events), replayed(events, expandable=True)
    figures = replace(
        found,
        allocated=native.peak_allocated,
        reserved=native.peak_reserved,
        reserved_expandable=expandable.peak_reserved,
        cublas_workspace=nbytes,
    )
    return replace(training, allocator=figures)


def training_replay(training: Training, details: StepDetails) -> Replay:
    """The events in the order of the simulated engine; cuBLAS takes its workspace first where the device has one.

    Blocks have the sizes that the allocator hands out, rounded up; on a CPU, which has no such allocator, this is what
    it would do.
    """
    allocator = CachingAllocator()
    events: list[Served] = []
    segments: list[tuple[int, int]] = []
    live: dict[int, tuple[Block, int]] = {}  # number of the allocation -> its block and address

    def allocate(number: int, nbytes: int, step: int, row: int | None, what: str) -> None:
        before = allocator.reserved
        block = allocator.allocate(nbytes)
        if allocator.reserved > before:
            segments.append((before, allocator.reserved - before))
            events.append(Served(step, None, before, allocator.reserved - before, is_segment=True))
        live[number] = block, block.address
        events.append(Served(step, row, block.address, block.size, what=what))

    if training.allocator is not None:
        allocate(-1, training.allocator.cublas_workspace, 0, None, CUBLAS)
    buffers, count = training.schedule.buffers, len(training.schedule.buffers)
    starts, stops = training.lifetimes.start.tolist(), training.lifetimes.stop.tolist()
    for event in details.events.tolist():
        number = abs(event) - 1
        is_buffer = number < count
        if event > 0:
            nbytes, step = (buffers[number].nbytes, starts[number]) if is_buffer else details.scratch[number - count]
            if nbytes:
                allocate(number, nbytes, step, number if is_buffer else None, "" if is_buffer else SCRATCH)
        elif number in live:
            block, address = live.pop(number)
            allocator.release(block)
            step = stops[number] if is_buffer else details.scratch[number - count][1]
            events.append(Served(step, number if is_buffer else None, address, 0))
    left = sorted(
        ((address, block.size, n if 0 <= n < count else None) for n, (block, address) in live.items()),
        key=lambda row: row[0],
    )
    return Replay(tuple(events), tuple(segments), tuple(left))
