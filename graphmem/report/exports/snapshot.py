"""Profile -> a PyTorch memory snapshot (a pickle), which https://pytorch.org/memory_viz draws without uploading it.

The weights are one block of a segment of their own; the run's buffers share a second segment, at the plan's offsets or,
without a plan, one after another. Module scopes and source lines become stack frames, innermost first. Format: torch
2.13, torch/cuda/_memory_viz.py; protocol 4, because the viewer reads no other that is newer.
"""

from __future__ import annotations

import pickle
from typing import Any

from graphmem.ir.profile import Profile
from graphmem.ir.replay import Replay
from graphmem.report.page.data import GIVEN, typed

BASE = 0x7F0000000000  # where the weights start; the run's segment follows on the next 2 MiB
GRAIN = 1 << 21
# Our kinds of buffers in the words of torch.profiler, which the viewer colours.
CATEGORIES = {
    "output": "activation", "saved activation": "activation", "recomputed activation": "activation",
    "buffer": "parameter", "constant": "parameter",
}  # fmt: skip


def snapshot(profile: Profile) -> bytes:
    """The pickled snapshot."""
    return pickle.dumps(snapshot_document(profile), protocol=4)


def replay_snapshot(profile: Profile, replay: Replay) -> bytes:
    """The same of a run whose allocations an allocator has served: its own segments, blocks and order of events."""
    return pickle.dumps(replay_document(profile, replay), protocol=4)


def replay_document(profile: Profile, replay: Replay) -> dict[str, Any]:
    """The same as plain values."""
    events = [_event("alloc", BASE, 0, [_frame("unknown")], 0, category="unknown")]
    sizes: dict[int, int] = {}
    for served in replay.events:
        address = BASE + served.address
        frames = [_frame(served.what or "segment")] if served.row is None else _frames(profile, served.row)
        if served.is_segment:
            events.append(_event("segment_alloc", address, served.nbytes, frames, served.step))
        elif served.nbytes:
            sizes[address] = served.nbytes
            more = _about(profile, served.row) if served.row is not None else {"category": "temporary"}
            events.append(_event("alloc", address, served.nbytes, frames, served.step, **more))
        else:
            nbytes = sizes.pop(address)
            events += [_event(f"free_{x}", address, nbytes, frames, served.step) for x in ("requested", "completed")]
    segments = []
    for start, total in replay.segments:
        inside = [left for left in replay.left if start <= left[0] < start + total]
        active = [
            (a - start, n, [_frame("workspace")] if row is None else _frames(profile, row)) for a, n, row in inside
        ]
        segments.append(_segment(BASE + start, total, active))
    return _document(segments, events)


def _document(segments: list[dict[str, Any]], events: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "segments": segments,
        "device_traces": [events],
        "allocator_settings": {},
        "external_annotations": [],
    }


def _about(profile: Profile, row: int) -> dict[str, str]:
    """The viewer's category of a buffer, and its name and type as a note."""
    tensor = profile.tensors[row]
    note = f"{tensor.tensor} {typed(tensor.type)}"
    return {"category": CATEGORIES.get(tensor.kind, tensor.kind), "user_metadata": note}


def snapshot_document(profile: Profile) -> dict[str, Any]:
    """The same as plain values: segments as they are after the run, and every allocation and release on the way."""
    weights = -(-profile.standing // GRAIN) * GRAIN
    start = BASE + weights
    offsets, total = _addresses(profile)
    segments, events = [], [_event("alloc", BASE, 0, [_frame("unknown")], 0, category="unknown")]
    if profile.standing:
        frames = [_frame("weights")]
        segments.append(_segment(BASE, weights, [(0, profile.standing, frames)]))
        events.append(_event("segment_alloc", BASE, weights, frames, 0))
        events.append(_event("alloc", BASE, profile.standing, frames, 0, category="parameter"))
    if total:
        events.append(_event("segment_alloc", start, total, [_frame("activations")], 0))
    events += _events(profile, start, offsets)
    if total:
        segments.append(_segment(start, total, _left(profile, offsets)))
    return _document(segments, events)


def _addresses(profile: Profile) -> tuple[list[int], int]:
    """Offset of every row, and the bytes that they span."""
    if profile.offsets is not None and profile.plan is not None:
        return list(profile.offsets), profile.plan.arena
    offsets, total = [], 0
    for nbytes in profile.lifetimes.nbytes.tolist():
        offsets.append(total)
        total += nbytes
    return offsets, total


def _events(profile: Profile, start: int, offsets: list[int]) -> list[dict[str, Any]]:
    """An alloc where each buffer's life starts and a release where it ends; releases of a step before its allocs."""
    alive, steps = profile.lifetimes, len(profile.schedule.steps)
    found = []
    for row, tensor in enumerate(profile.tensors):
        first, stop = int(alive.start[row]), int(alive.stop[row])
        if not tensor.nbytes or stop <= first:
            continue
        frames, address = _frames(profile, row), start + offsets[row]
        made = _event("alloc", address, tensor.nbytes, frames, first, **_about(profile, row))
        found.append(((first, 1, row), [made]))
        if stop < steps or not _leaves(profile, row):
            gone = [_event(f"free_{x}", address, tensor.nbytes, frames, stop) for x in ("requested", "completed")]
            found.append(((stop, 0, row), gone))
    return [event for _, events in sorted(found, key=lambda item: item[0]) for event in events]


def _leaves(profile: Profile, row: int) -> bool:
    return row in profile.schedule.leaving


def _left(profile: Profile, offsets: list[int]) -> list[tuple[int, int, list[dict[str, Any]]]]:
    """(offset, bytes, frames) of what the run leaves: its outputs."""
    rows = [row for row in profile.schedule.leaving if profile.tensors[row].nbytes]
    blocks = [(offsets[row], profile.tensors[row].nbytes, _frames(profile, row)) for row in rows]
    return sorted(blocks, key=lambda block: block[0])


def _segment(address: int, total: int, active: list[tuple[int, int, list[dict[str, Any]]]]) -> dict[str, Any]:
    """A segment whose blocks, in the order of addresses, add up to its size."""
    blocks: list[dict[str, Any]] = []
    end = 0
    for offset, nbytes, frames in [*active, (total, 0, [])]:
        if offset > end:
            blocks.append(_block(address + end, offset - end, "inactive", []))
        if nbytes:
            blocks.append(_block(address + offset, nbytes, "active_allocated", frames))
        end = offset + nbytes
    held = sum(nbytes for _, nbytes, _ in active)
    return {
        "device": 0,
        "address": address,
        "total_size": total,
        "allocated_size": held,
        "active_size": held,
        "requested_size": held,
        "stream": 0,
        "segment_type": "large",
        "segment_pool_id": (0, 0),
        "is_expandable": False,
        "frames": [],
        "blocks": blocks,
    }


def _block(address: int, nbytes: int, state: str, frames: list[dict[str, Any]]) -> dict[str, Any]:
    return {"address": address, "size": nbytes, "requested_size": nbytes, "state": state, "frames": frames}


def _event(
    action: str, address: int, nbytes: int, frames: list[dict[str, Any]], step: int, **more: str
) -> dict[str, Any]:
    return {"action": action, "addr": address, "size": nbytes, "stream": 0, "frames": frames, "time_us": step, **more}


def _frame(name: str, filename: str = "graphmem", line: int = 0, **more: str) -> dict[str, Any]:
    return {"name": name, "filename": filename, "line": line, **more}


def _frames(profile: Profile, row: int) -> list[dict[str, Any]]:
    """The operation that made the buffer, then its modules from the innermost to the whole model."""
    tensor = profile.tensors[row]
    if tensor.kind in GIVEN or not profile.schedule.steps:
        return [_frame(f"{tensor.kind} {tensor.tensor}")]
    step, origin = profile.schedule.steps[tensor.first_step], tensor.origin
    file, _, line = origin.source.rpartition(":")
    names = {"fx_node_name": step.name, "fx_node_target": step.operator}
    own = _frame(step.operator, file or "graphmem", int(line) if line.isdecimal() else 0, **names)
    parts = origin.scope.split(".") if origin.scope else []
    return [own, *(_frame(".".join(parts[:depth])) for depth in range(len(parts), 0, -1)), _frame("model")]
