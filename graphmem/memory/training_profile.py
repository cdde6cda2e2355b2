"""Training -> Profile: saved activations told apart, bytes by module; Training -> Replay: addresses on CUDA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from graphmem.ir.analysis import LiveTensor
from graphmem.ir.memory import IntColumn
from graphmem.ir.profile import Band, Block, Profile, Scope
from graphmem.ir.replay import Replay, Served
from graphmem.ir.schedule import Schedule
from graphmem.ir.training import StepDetails, Training
from graphmem.memory.allocator import Block as CachedBlock
from graphmem.memory.allocator import CachingAllocator, replayed
from graphmem.memory.profile import GIVEN, KINDS, Tree, bands_by_kind, schedule_profile

SAVED, RECOMPUTED = "saved activation", "recomputed activation"
STANDING = ("parameter", "gradient", "optimizer_state")  # what a module needs for its weights
MOST_BLOCKS = 48


def training_profile(training: Training) -> Profile:
    """The step; `beside` is the workspace of its operators, which is not in the peak."""
    schedule, alive, live = training.schedule, training.lifetimes, training.timeline
    details = training.details
    if details is None:
        return schedule_profile("training", schedule, alive, live)
    schedule = _with_reads(schedule, details)
    kinds = _kinds(training, details)
    tensors = tuple(_tensor(training, details, row, kind) for row, kind in enumerate(kinds))
    tree, step_scopes, homes = _scopes(training, details, tensors)
    bands = bands_by_kind(schedule, alive, KINDS, kinds)
    workspace = np.array([step.workspace for step in schedule.steps], dtype=np.int64)
    return Profile(
        name="training",
        schedule=schedule,
        lifetimes=alive,
        timeline=live,
        tensors=tensors,
        origins=details.origins,
        bands=tuple(band for band in bands if band.kind != "workspace"),
        blocks=_blocks(training, details, live.live),
        scopes=tree,
        step_scopes=step_scopes,
        beside=(Band("workspace", workspace),) if workspace.any() else (),
        homes=homes,
    )


def _with_reads(schedule: Schedule, details: StepDetails) -> Schedule:
    """The schedule, whose steps name what they read last, with all that they are known to read."""
    steps = tuple(
        replace(step, reads=tuple(dict.fromkeys((*step.reads, *more)))) if more else step
        for step, more in zip(schedule.steps, details.reads, strict=True)
    )
    return replace(schedule, steps=steps)


def _kinds(training: Training, details: StepDetails) -> list[str]:
    """Kinds of the buffers, activations told apart: saved for the backward pass of their own, or made again in one."""
    steps, alive, saved = training.schedule.steps, training.lifetimes, set(details.saved)
    ends = _forward_ends([step.phase for step in steps])
    kinds = []
    for row, buffer in enumerate(training.schedule.buffers):
        kind, start = buffer.kind, int(alive.start[row])
        if kind == "activation" and start < len(steps):
            if steps[start].phase == "backward":
                kind = RECOMPUTED
            elif row in saved or alive.stop[row] > ends[start]:
                kind = SAVED
        kinds.append(kind)
    return kinds


def _forward_ends(phases: Sequence[str]) -> list[int]:
    """For each step the first one after it that is not of the forward pass."""
    ends, end = [0] * len(phases), len(phases)
    for step in range(len(phases) - 1, -1, -1):
        end = end if phases[step] == "forward" else step
        ends[step] = end
    return ends


def _tensor(training: Training, details: StepDetails, row: int, kind: str) -> LiveTensor:
    lifetime = training.lifetimes[row]
    buffer = training.schedule.buffers[row]
    is_made = kind not in GIVEN and lifetime.stop > lifetime.start
    return LiveTensor(
        tensor=buffer.name,
        type=details.types[row],
        nbytes=buffer.nbytes,
        kind=kind,
        first_step=lifetime.start,
        last_step=max(lifetime.start, lifetime.stop - 1),
        producer=training.schedule.steps[lifetime.start].operator if is_made else "",
        origin=details.homes[row],
    )


def _scopes(
    training: Training, details: StepDetails, tensors: Sequence[LiveTensor]
) -> tuple[tuple[Scope, ...], tuple[int, ...], tuple[int, ...]]:
    """The module tree, the scope of every step, and of every buffer: that which made it, or whose parameter it is."""
    alive, peak, saved = training.lifetimes, training.timeline.peak_step, set(details.saved)
    at_peak = ((alive.start <= peak) & (peak < alive.stop)).tolist()
    tree = Tree()
    step_rows = tuple(tree.row(origin.scope, origin.module) for origin in details.origins)
    home_rows = []
    for row in step_rows:
        tree.sums[row][0] += 1
    for row, tensor in enumerate(tensors):
        is_of_weights = tensor.kind in STANDING
        home = tree.row(tensor.origin.scope, tensor.origin.module)
        home_rows.append(home)
        own = tree.sums[home]
        own[1] += tensor.nbytes * is_of_weights
        own[2] += tensor.nbytes * (tensor.kind not in GIVEN)
        own[3] += tensor.nbytes * at_peak[row]
        own[4] += tensor.nbytes * (row in saved)
    return tree.scopes(), step_rows, tuple(home_rows)


def _blocks(training: Training, details: StepDetails, live: IntColumn) -> tuple[Block, ...]:
    """The phases, cut into stretches of one module as deep in the tree as leaves few enough to be seen."""
    steps = training.schedule.steps
    if not steps:
        return ()
    paths = [(step.phase, *_parts(o.scope)) for step, o in zip(steps, details.origins, strict=True)]
    cuts = _cuts(paths, 1)
    for depth in range(2, max(map(len, paths)) + 1):
        deeper = _cuts(paths, depth)
        if len(deeper) > MOST_BLOCKS:
            break
        cuts = deeper
    return tuple(Block(start, stop, int(live[start:stop].max())) for start, stop in pairwise([*cuts, len(paths)]))


def _parts(scope: str) -> list[str]:
    return scope.split(".") if scope else []


def _cuts(paths: Sequence[tuple[str, ...]], depth: int) -> list[int]:
    """Steps at which the first `depth` parts of the path change; a step of no module at all goes on."""
    found, last = [], None
    for step, path in enumerate(paths):
        key = path[:depth] if len(path) > 1 or last is None or path[0] != last[0] else last
        if key != last:
            found.append(step)
        last = key
    return found


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
    live: dict[int, tuple[CachedBlock, int]] = {}  # number of the allocation -> its block and address

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
