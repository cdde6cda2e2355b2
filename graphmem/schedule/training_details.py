"""TrainingTrace, Program -> StepDetails: types, places in the model and events of all that the step allocated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from graphmem.autograd.machine import Record
from graphmem.autograd.program import Program
from graphmem.ir.errors import BrokenInvariantError
from graphmem.ir.graph import Origin
from graphmem.ir.training import StepDetails
from graphmem.ir.types import TensorType
from graphmem.schedule.step import NOT_BUFFERS
from graphmem.schedule.training import TrainingTrace


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
