"""Model file -> Verification: what was predicted of runs under several options beside what they allocated.

Where they part is told by node: the predicted plan and the recorded allocations are walked step by step. An allocation
of the size of a buffer that the step is to write is that buffer; any other is workspace. When a block that was taken
for a buffer goes while the buffer should stay, it was workspace of the same size after all, and the buffer is the other
one. Nothing recorded names a node, so a step ends when all that is predicted of it has happened: workspace of a step
that neither takes nor releases anything may be booked on the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from graphmem.ir.graph import Issue
from graphmem.ir.options import ReadingOptions
from graphmem.ir.runtime import RuntimeGraph, SessionOptions
from graphmem.ir.verification import Parting, Trial, Verification
from graphmem.measure.runs import Measured, Run, measured
from graphmem.ort.arena import events
from graphmem.ort.figures import predicted
from graphmem.ort.graph import Source, runtime_graph
from graphmem.ort.plan import RuntimePlan
from graphmem.reader.batch import read_as

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from graphmem.ir.keywords import ReadingKeywords


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


def verify(
    path: str | Path,
    dims: Mapping[str, int] | None = None,
    *,
    session: SessionOptions | None = None,
    **reading: Unpack[ReadingKeywords],
) -> Verification:
    """Run the model for real, in a process of its own, and compare what it allocates with what was predicted.

    Inputs are seeded random numbers; absent weights are made up, which the issues say.
    """
    path = Path(path)
    asked = replace(session or SessionOptions(), pattern=True, arena=True)
    source = Source.of(path, read_as(path, ReadingOptions(dims=dims, **reading)))
    runtime = runtime_graph(source, asked)
    variants = {"": asked, "reuse off": replace(asked, reuse=False)}
    with TemporaryDirectory(prefix="graphmem-") as scratch:
        found = measured(source.model, path.parent, source.inputs, list(variants.values()), Path(scratch))
    trials: list[Trial] = []
    for (label, options), runs, arena in zip(variants.items(), found.runs, found.arena, strict=True):
        trials += _trials(runtime, label, options, runs, arena)
    return Verification(path.stem, found.version, found.method, found.blind, tuple(trials), _issues(runtime, found))


def _trials(
    runtime: RuntimeGraph, label: str, options: SessionOptions, runs: tuple[Run, ...], arena: int
) -> list[Trial]:
    """First run, later runs, arena under one set of options."""
    ours = predicted(runtime, options)
    first, later = runs
    is_exact = ours.memory.first_run_peak == first.peak
    parted = parting(ours.plan, first.events, first.blocks) if first.events and not is_exact else None
    end = f", {label}" if label else ""
    assert ours.memory.pattern_peak is not None
    assert ours.memory.arena is not None
    return [
        Trial("first run" + end, options, ours.memory.first_run_peak, first.peak, parted),
        Trial("later runs, pattern on" + end, options, ours.memory.pattern_peak, later.peak),
        Trial("arena holds" + end, options, ours.memory.arena, arena),
    ]


def _issues(runtime: RuntimeGraph, found: Measured) -> tuple[Issue, ...]:
    return tuple(dict.fromkeys((*runtime.issues, *found.issues)))
