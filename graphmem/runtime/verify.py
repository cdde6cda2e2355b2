"""Model file -> Verification: what was predicted of runs under several options beside what they allocated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from graphmem.ir.graph import Issue
from graphmem.ir.runtime import RuntimeGraph, SessionOptions
from graphmem.ir.types import TensorType
from graphmem.ir.verification import Trial, Verification
from graphmem.measure.runs import Measured, Run, measured
from graphmem.reader import read
from graphmem.runtime.figures import predicted
from graphmem.runtime.graph import Source, runtime_graph
from graphmem.schedule.agreement import parting


def verify(
    path: str | Path,
    dims: Mapping[str, int] | None = None,
    *,
    batch: int | None = None,
    strict: bool = False,
    trips: Mapping[str, int] | None = None,
    shapes: Mapping[str, TensorType] | None = None,
    session: SessionOptions | None = None,
) -> Verification:
    """Run the model for real, in a process of its own, and compare what it allocates with what was predicted.

    Inputs are seeded random numbers; absent weights are made up, which the issues say.
    """
    path = Path(path)
    asked = replace(session or SessionOptions(), pattern=True, arena=True)
    source = Source.of(path, read(path, dims, batch, strict, trips, shapes))
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
