"""(predicted plan, recorded allocations) -> the first node at which they part.

Both are walked step by step. An allocation of the size of a buffer that the step is to write is that buffer; any other
is workspace. When a block that was taken for a buffer goes while the buffer should stay, it was workspace of the same
size after all, and the buffer is the other one. Nothing recorded names a node, so a step ends when all that is
predicted of it has happened: workspace of a step that neither takes nor releases anything may be booked on the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from graphmem.ir.verification import Parting
from graphmem.memory.runtime_events import events
from graphmem.schedule.onnxruntime import RuntimePlan


@dataclass(slots=True)
class _Step:
    """What is predicted of one step."""

    takes: list[int] = field(default_factory=list)
    workspace: int = 0
    releases: set[int] = field(default_factory=set)


class _Walk:
    """A position in the recording, and which recorded block is which buffer."""

    def __init__(self, plan: RuntimePlan, recorded: Sequence[int], blocks: Sequence[int]) -> None:
        self.sizes = [buffer.nbytes for buffer in plan.schedule.buffers]
        self.names = [buffer.name for buffer in plan.schedule.buffers]
        self.recorded = recorded
        self.blocks = blocks
        self.at = 0
        self.buffer_of: dict[int, int] = {}
        self.extra: dict[int, int] = {}  # live workspace: block -> bytes
        self.most = 0

    def step(self, expected: _Step) -> tuple[str, str] | None:
        """Walk one step; (expected, found) when it goes otherwise than predicted."""
        takes, releases = list(expected.takes), set(expected.releases)
        self.most = 0
        while takes or releases or self.extra or self.most < expected.workspace:
            if self.at == len(self.recorded):
                return self._missing(takes, releases, expected.workspace)
            size, block = self.recorded[self.at], self.blocks[self.at]
            if not takes and not releases and not self.extra and not self._is_workspace(size, expected):
                break
            self.at += 1
            if size > 0:
                self._allocated(size, block, takes)
            elif (wrong := self._freed(block, releases, takes)) is not None:
                return wrong
        if self.most != expected.workspace:
            return f"{expected.workspace:,} bytes of workspace", f"{self.most:,} bytes"
        return None

    def _is_workspace(self, size: int, expected: _Step) -> bool:
        return 0 < size <= expected.workspace

    def _allocated(self, size: int, block: int, takes: list[int]) -> None:
        for i, buffer in enumerate(takes):
            if self.sizes[buffer] == size:
                self.buffer_of[block] = takes.pop(i)
                return
        self.extra[block] = size
        self.most = max(self.most, sum(self.extra.values()))

    def _freed(self, block: int, releases: set[int], takes: list[int]) -> tuple[str, str] | None:
        if self.extra.pop(block, None) is not None:
            return None
        buffer = self.buffer_of.pop(block)
        if buffer in releases and not takes:
            releases.discard(buffer)
            return None
        for other, size in self.extra.items():
            if size == self.sizes[buffer]:
                del self.extra[other]
                self.buffer_of[other] = buffer
                return None
        if buffer in releases:
            releases.discard(buffer)
            return None
        return f"'{self.names[buffer]}' stays", "it was released"

    def _missing(self, takes: list[int], releases: set[int], workspace: int) -> tuple[str, str] | None:
        if takes:
            return f"{self.sizes[takes[0]]:,} bytes for '{self.names[takes[0]]}'", "no such allocation"
        if releases:
            return f"'{self.names[min(releases)]}' is released", "it stays"
        return None if self.most == workspace else (f"{workspace:,} bytes of workspace", f"{self.most:,} bytes")


def parting(plan: RuntimePlan, recorded: Sequence[int], blocks: Sequence[int]) -> Parting | None:
    """The first step that goes otherwise than predicted, or None."""
    steps = [_Step() for _ in plan.schedule.steps]
    for i, (kind, what) in events(plan.schedule, plan.numbers):
        if kind == "workspace":
            steps[i].workspace = what
        elif plan.schedule.buffers[what].nbytes:
            steps[i].takes.append(what) if kind == "take" else steps[i].releases.add(what)
    walk = _Walk(plan, recorded, blocks)
    for i, expected in enumerate(steps):
        wrong = walk.step(expected)
        if wrong is not None:
            step = plan.schedule.steps[i]
            return Parting(i, step.name, step.operator, *wrong)
    return None
