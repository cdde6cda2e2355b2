"""TrainingTrace -> the figures of a Training: peaks by phase, breakdown, saved activations, the allocator's.

TrainingTrace, Program -> StepDetails: types, places in the model and events of all that the step allocated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from graphmem.autograd.trace import Record
from graphmem.ir.device import CONTEXT_BYTES
from graphmem.ir.errors import BrokenInvariantError, ModelError, misfits
from graphmem.ir.graph import Graph, Origin
from graphmem.ir.memory import IntColumn, Lifetimes
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Program
from graphmem.ir.schedule import Schedule
from graphmem.ir.training import (
    BREAKDOWN,
    PHASES,
    AllocatorFigures,
    Inferred,
    SavedActivation,
    StepDetails,
    Training,
)
from graphmem.ir.types import TensorType
from graphmem.memory.allocator import CUBLAS_WORKSPACE, replayed
from graphmem.memory.liveness import lifetimes, timeline
from graphmem.schedule.eager import TrainingTrace, training_trace
from graphmem.schedule.inference_figures import model_facts
from graphmem.schedule.step import NOT_BUFFERS

SAVED_SHOWN = 10
CUDNN = (  # operators whose algorithm, and with it their scratch, cuDNN chooses on the device
    "aten::conv1d", "aten::conv2d", "aten::conv3d", "aten::convolution", "aten::conv_transpose1d",
    "aten::conv_transpose2d", "aten::conv_transpose3d", "aten::convolution_backward", "aten::lstm", "aten::gru",
    "aten::rnn_tanh", "aten::_cudnn_rnn_backward",
)  # fmt: skip
_KINDS = {
    "parameter": "parameters", "gradient": "gradients", "optimizer_state": "optimizer_state", "buffer": "buffers",
    "constant": "buffers", "input": "inputs", "activation": "activations", "temporary": "temporaries",
}  # fmt: skip


def without_workspace(trace: TrainingTrace) -> Schedule:
    """The schedule with what outlives its operator alone, as `peak` counts."""
    steps = tuple(replace(step, workspace=0) for step in trace.schedule.steps)
    return replace(trace.schedule, steps=steps)


def peak_of(trace: TrainingTrace) -> int:
    """The tensor-level peak of the step alone."""
    return timeline(lifetimes(trace.schedule), without_workspace(trace)).peak


def phase_peaks(trace: TrainingTrace, live: IntColumn) -> dict[str, int]:
    """Bytes alive at most, by phase."""
    phases = np.array([PHASES.index(step.phase) for step in trace.schedule.steps])
    return {phase: int(live[phases == i].max(initial=0)) for i, phase in enumerate(PHASES)}


def allocator_figures(trace: TrainingTrace) -> AllocatorFigures:
    """The trace, workspace included, replayed in the CUDA caching allocator, cuBLAS's workspace taken at its start."""
    cublas = CUBLAS_WORKSPACE[8]
    events = [(0, cublas), *allocator_events(trace)]
    native, expandable = replayed(events), replayed(events, expandable=True)
    return AllocatorFigures(
        native.peak_allocated, native.peak_reserved, expandable.peak_reserved, cublas, CONTEXT_BYTES, uncounted(trace)
    )


def allocator_events(trace: TrainingTrace) -> list[tuple[int, int]]:
    """Allocations as (number, bytes) and releases as (number, 0), in order, as the caching allocator takes them."""
    records = trace.machine.records
    return [(e, records[e - 1].nbytes) if e > 0 else (-e, 0) for e in trace.machine.events]


def uncounted(trace: TrainingTrace) -> tuple[str, ...]:
    """Scratch memory of libraries that the trace has no figure for."""
    calls = Counter(step.operator for step in trace.machine.steps)
    found = [(calls[name], name) for name in CUDNN if calls[name]]
    return tuple(f"cuDNN workspace of {count} {name}" for count, name in found)


def breakdown(trace: TrainingTrace, alive: Lifetimes, step: int) -> dict[str, int]:
    """Bytes alive at a step, by the names of BREAKDOWN."""
    figures = dict.fromkeys(BREAKDOWN, 0)
    for row in np.flatnonzero((alive.start <= step) & (alive.stop > step)).tolist():
        buffer = trace.schedule.buffers[row]
        figures[_KINDS[buffer.kind]] += buffer.nbytes
    figures["workspace"] = trace.schedule.steps[step].workspace
    return figures


def saved_activations(trace: TrainingTrace) -> tuple[SavedActivation, ...]:
    """The largest activations that wait for the backward pass, largest first."""
    records = trace.machine.records
    rows = sorted(trace.saved, key=lambda n: (-records[n].nbytes, n))[:SAVED_SHOWN]
    return tuple(
        SavedActivation(
            records[n].name or f"activation {n}",
            TensorType(records[n].dtype, records[n].shape),
            records[n].nbytes,
            trace.machine.steps[records[n].start].operator,
            records[n].origin,
        )
        for n in rows
    )


def training_details(trace: TrainingTrace, program: Program) -> StepDetails:
    """The rows of the trace's schedule are the records of its machine without those of NOT_BUFFERS."""
    records, first = trace.machine.records, trace.first_step
    rows = [n for n, record in enumerate(records) if record.kind not in NOT_BUFFERS]
    if [records[n].nbytes for n in rows] != [buffer.nbytes for buffer in trace.schedule.buffers]:
        raise BrokenInvariantError("the buffers of the step are not the records that they were made from")
    scratch = [n for n, record in enumerate(records) if record.kind == "workspace"]
    numbers = np.full(len(records), -1, dtype=np.int64)
    numbers[rows] = np.arange(len(rows))
    numbers[scratch] = len(rows) + np.arange(len(scratch))
    events = np.array(trace.machine.events, dtype=np.int64)
    readers = _first_readers(program)
    types: dict[tuple[str, tuple[int, ...]], TensorType] = {}
    return StepDetails(
        types=tuple(_type(records[n], types) for n in rows),
        homes=tuple(_home(records[n], readers) for n in rows),
        origins=tuple(step.origin for step in trace.machine.steps[first:]),
        reads=_reads(trace, numbers.tolist(), len(rows)),
        saved=tuple(int(numbers[n]) for n in trace.saved if records[n].kind == "activation"),
        events=np.sign(events) * (numbers[np.abs(events) - 1] + 1),
        scratch=tuple((records[n].nbytes, max(0, records[n].start - first)) for n in scratch),
    )


def _reads(trace: TrainingTrace, numbers: Sequence[int], count: int) -> tuple[tuple[int, ...], ...]:
    """What each step is known to read, of what is there before it and lives through it."""
    records, first = trace.machine.records, trace.first_step
    found: list[dict[int, None]] = [{} for _ in trace.machine.steps[first:]]
    for start, stop, read in trace.machine.reads:
        for n in read:
            record = records[n]
            if 0 <= numbers[n] < count:
                for step in range(max(start, first), stop):
                    if record.start < step and (record.stop < 0 or step < record.stop):
                        found[step - first][numbers[n]] = None
    return tuple(map(tuple, found))


def _type(record: Record, known: dict[tuple[str, tuple[int, ...]], TensorType]) -> TensorType:
    key = record.dtype, tuple(record.shape)
    if key not in known:
        known[key] = TensorType(*key)
    return known[key]


def _first_readers(program: Program) -> Mapping[str, Origin]:
    """Where each given value is first read."""
    found: dict[str, Origin] = {}
    for call in program.calls:
        for name in call.reads:
            found.setdefault(name, call.origin)
    return found


def _home(record: Record, readers: Mapping[str, Origin]) -> Origin:
    """The module of a parameter is also that of its gradient ("w.grad") and of its state ("w.exp_avg")."""
    if record.kind in ("gradient", "optimizer_state"):
        return readers.get(record.name.rpartition(".")[0], record.origin)
    if record.kind in ("parameter", "buffer", "constant"):
        return readers.get(record.name, record.origin)
    return record.origin


@contextmanager
def followed(what: str) -> Iterator[None]:
    """Inside, a rule that meets shapes it was not written for is a ModelError that names `what`."""
    try:
        yield
    except misfits() as error:
        raise ModelError(f"{what} cannot be followed ({error}); please report it with the model's graph") from error


def training(
    graph: Graph,
    program: Program,
    settings: TrainingOptions,
    name: str,
) -> Training:
    """Trace, lifetimes, timeline and what they add up to."""
    with followed(f"the backward pass of '{name}'"):
        trace = training_trace(program, settings)
    alive = lifetimes(trace.schedule)
    bare = timeline(alive, without_workspace(trace))
    peak = trace.schedule.steps[bare.peak_step]
    where = trace.machine.steps[trace.first_step + bare.peak_step]
    return ShownTraining(
        model=model_facts(graph, name),
        settings=settings,
        peak=bare.peak,
        peak_phase=peak.phase,
        peak_operator=peak.operator,
        peak_node=where.node,
        peak_origin=where.origin,
        phase_peaks=phase_peaks(trace, bare.live),
        breakdown=breakdown(trace, alive, bare.peak_step),
        baseline=sum(trace.schedule.buffers[b].nbytes for b in trace.schedule.entering),
        saved=saved_activations(trace),
        saved_bytes=sum(trace.machine.records[n].nbytes for n in trace.saved),
        allocator=allocator_figures(trace) if settings.device == "cuda" else None,
        inferred=tuple(Inferred(i.what, i.where, i.evidence) for i in program.inferred),
        issues=(*graph.issues, *program.issues, *trace.issues),
        schedule=trace.schedule,
        lifetimes=alive,
        timeline=bare,
        details=training_details(trace, program),
        traffic=trace.traffic,
    )


@dataclass(frozen=True, slots=True)
class ShownTraining(Training):
    """A Training that a notebook shows as its timeline; here because ir/ knows no reports."""

    def _repr_html_(self) -> str:
        from graphmem.memory.training_profile import training_profile
        from graphmem.report.page.notebook import training_html

        return training_html(self, training_profile(self))
