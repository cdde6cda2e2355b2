"""TrainingTrace -> the figures of a Training: peaks by phase, breakdown, saved activations, the allocator's."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from graphmem.ir.device import CONTEXT_BYTES
from graphmem.ir.memory import IntColumn, Lifetimes
from graphmem.ir.schedule import Schedule
from graphmem.ir.training import BREAKDOWN, PHASES, AllocatorFigures, SavedActivation
from graphmem.ir.types import TensorType
from graphmem.memory.allocator import CUBLAS_WORKSPACE, replayed
from graphmem.memory.liveness import lifetimes, timeline
from graphmem.schedule.training import TrainingTrace

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
