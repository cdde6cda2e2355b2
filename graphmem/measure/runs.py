"""Model, options -> what real runs in a fresh process allocated, by the tracer or by the arena's counters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from graphmem.ir.errors import ModelError
from graphmem.ir.graph import Issue
from graphmem.ir.runtime import SessionOptions
from graphmem.ir.types import Shape
from graphmem.measure.optimized import MAX_WEIGHT_BYTES, filled_weights
from graphmem.measure.prepare import runnable, weight_bytes
from graphmem.measure.process import ask, compiled

TRACED = "every aligned allocation of the run, in order, recorded by a preloaded tracer (arena off, one thread)"
COUNTED = "the arena's counters, read by onnxruntime's profiler after every node (no C compiler for the tracer)"
TRACED_BLIND = "what kernels take from malloc or keep on the stack, and the memory of weights and inputs"
COUNTED_BLIND = "workspace that a kernel returns before it ends, and which node a difference comes from"
RUNS = 2


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its peak, and the recorded events and blocks, empty when only counters were read."""

    peak: int
    events: tuple[int, ...] = ()
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """The first and the second run of each set of options, and the arena's bytes after both of each."""

    version: str
    runs: tuple[tuple[Run, ...], ...]
    arena: tuple[int, ...]
    method: str
    blind: str
    issues: tuple[Issue, ...]


def measured(
    model: bytes, folder: Path, inputs: Mapping[str, Shape], options: Sequence[SessionOptions], scratch: Path
) -> Measured:
    """Run the model twice on seeded random inputs under each set of options; ModelError when it does not run."""
    if (nbytes := weight_bytes(model)) > MAX_WEIGHT_BYTES:
        raise ModelError(f"{nbytes:,} bytes of weights are too many to run the model for a check")
    ready = runnable(model, folder, inputs, scratch)
    request: dict[str, Any] = {
        "model": str(ready.path),
        "weights": str(ready.weights_folder),
        "shapes": {name: list(shape) for name, shape in inputs.items()},
        "seed": 0,
        "repeats": RUNS,
    }
    counted = ask("count", request | {"options": [asdict(replace(o, arena=True)) for o in options]}, scratch)
    arena = tuple(row["arena"] for row in counted["runs"])
    tracer = compiled(scratch)
    if tracer is None:
        runs = tuple(tuple(Run(peak) for peak in row["peaks"]) for row in counted["runs"])
        return Measured(counted["version"], runs, arena, COUNTED, COUNTED_BLIND, filled_weights(ready))
    runs = tuple(_traced(request, replace(o, arena=False), scratch, tracer) for o in options)
    return Measured(counted["version"], runs, arena, TRACED, TRACED_BLIND, filled_weights(ready))


def _traced(request: dict[str, Any], options: SessionOptions, scratch: Path, tracer: Path) -> tuple[Run, ...]:
    """Runs in a process of their own: a thread keeps some buffers from one session to the next."""
    answer = ask("run", request | {"options": [asdict(options)]}, scratch, tracer)
    return tuple(_run(row) for row in answer["runs"][0])


def _run(row: dict[str, list[int]]) -> Run:
    return Run(max(accumulate(row["events"]), default=0), tuple(row["events"]), tuple(row["blocks"]))


def counters(path: Path) -> dict[str, Any]:
    """`peaks`: of each run the most bytes requested and not returned at the end of a node; `arena`: bytes held at last.

    Both are over what there was before the first node, which is not the runs' doing.
    """
    rows = [row["args"] for row in json.loads(path.read_text(encoding="utf-8")) if row.get("cat") == "Node"]
    rows = [row for row in rows if "mem_bytes_requested_in_use" in row]
    if not rows:
        return {"peaks": [], "arena": 0}
    first = rows[0]
    runs: list[list[int]] = []
    for row in rows:
        if row["node_index"] == first["node_index"]:
            runs.append([])
        runs[-1].append(int(row["mem_bytes_requested_in_use"]))
    before = int(first["mem_bytes_requested_in_use"]) - int(first["mem_requested_in_use_delta"])
    held_before = int(first["mem_arena_held"]) - int(first["mem_arena_held_delta"])
    return {"peaks": [max(run) - before for run in runs], "arena": int(rows[-1]["mem_arena_held"]) - held_before}
