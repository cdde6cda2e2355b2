"""Schedule -> the bytes that ONNX Runtime's arena holds after some runs of it."""

from __future__ import annotations

from collections.abc import Sequence

from graphmem.ir.schedule import Schedule
from graphmem.memory.bfc_arena import Arena
from graphmem.memory.pattern import pattern_block
from graphmem.memory.runtime_events import events


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
        taken: dict[int, tuple[int, int, int] | None] = {}
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
