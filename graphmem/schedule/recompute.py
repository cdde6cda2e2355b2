"""TrainingTrace, Tape -> Recompute: a training step as the question which of its values to keep.

One operation is one allocation, in the order of the trace. Keep-all in the question is alive as long as in the trace:

    forward    a   b   c  <- `held` marks (0 bytes, pinned) read what the frame of a module's call holds for longer
    backward   gc  gb  ga <- pinned; a function's allocations read what it had saved, up to the release of that

What a function makes beside its result is one value with it (indices), or pinned (the reserve of a recurrent layer).
The mask of a dropout comes before, and is pinned; the statistics of a norm come before, at half the cost: either half
may be computed again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from graphmem.autograd.machine import Machine
from graphmem.autograd.tape import Entry, Tape
from graphmem.autograd.trace import UNMADE, Record
from graphmem.ir.recompute import Operation, Recompute
from graphmem.schedule.eager import TrainingTrace

TINY = 64  # bytes: a part beside the result that is pinned
NORMS = ("NativeBatchNormBackward0", "NativeLayerNormBackward0", "NativeGroupNormBackward0", "FusedRmsNormBackward0")
NOT_KEPT = ("workspace", UNMADE)


@dataclass
class _Value:
    """An operation that is being put together; `records` are the allocations that it stands for."""

    records: tuple[int, ...]
    name: str
    nbytes: int
    cost: int
    reads: set[int] = field(default_factory=set)  # numbers of values
    backward: bool = False
    pinned: bool = False
    scope: str = ""
    operator: str = ""


@dataclass
class _Draft:
    machine: Machine
    first: int  # step of the trace
    values: list[_Value] = field(default_factory=list)
    of_record: dict[int, int] = field(default_factory=dict)

    def add(self, value: _Value) -> int:
        number = len(self.values)
        self.values.append(value)
        self.of_record.update(dict.fromkeys(value.records, number))
        return number

    def known(self, records: Sequence[int]) -> set[int]:
        return {self.of_record[r] for r in records if r in self.of_record}

    def kept(self, records: Sequence[int]) -> list[int]:
        rows = self.machine.records
        return [r for r in records if rows[r].kind not in NOT_KEPT and rows[r].start >= self.first and rows[r].nbytes]


def question_of(trace: TrainingTrace, tape: Tape, name: str) -> Recompute:
    """The step as a question at the grain of operations; what was there before it is resident."""
    draft = _Draft(trace.machine, trace.first_step)
    waiting: set[int] = set()  # reads of functions that allocate nothing: the next operation does them
    for entry in tape.entries:
        if entry.kind == "forward":
            _forward(draft, entry)
        else:
            waiting = _backward(draft, entry, waiting)
    _optimizer(draft, trace.machine)
    marks = _held(draft)
    resident = sum(trace.schedule.buffers[b].nbytes for b in trace.schedule.entering)
    return _question(draft, marks, resident, name)


def _forward(draft: _Draft, entry: Entry) -> None:
    made = draft.kept(entry.writes)
    sources = draft.known(entry.reads)
    if not made:
        if entry.is_in_place and sources:
            _over(draft, entry, sources)
        return
    rows = draft.machine.records
    main = max(made, key=lambda r: (r in entry.outputs, rows[r].nbytes, -r))
    beside = [r for r in made if r != main]
    if entry.is_random:
        for record in beside or ():
            sources.add(draft.add(_value(draft, entry, (record,), set(sources), 0, pinned=True)))
        draft.add(_value(draft, entry, (main,), sources, entry.cost, pinned=not beside))
        return
    if entry.name in NORMS and beside:
        statistics = draft.add(_value(draft, entry, tuple(beside), sources, entry.cost // 2))
        draft.add(_value(draft, entry, (main,), sources | {statistics}, entry.cost - entry.cost // 2))
        return
    apart = [r for r in beside if rows[r].nbytes <= TINY or "Rnn" in entry.name]
    number = draft.add(_value(draft, entry, (main, *(r for r in beside if r not in apart)), sources, entry.cost))
    for record in apart:
        draft.add(_value(draft, entry, (record,), {number}, 0, pinned=True))


def _over(draft: _Draft, entry: Entry, sources: set[int]) -> None:
    """An operation in place is part of the one that made its memory; what reads later values too is pinned."""
    target = min(sources) if len(sources) == 1 else draft.of_record.get(entry.reads[0], max(sources))
    value = draft.values[target]
    value.cost += entry.cost
    later = {s for s in sources if s > target}
    value.reads |= sources - later - {target}
    value.pinned = value.pinned or bool(later)


def _value(
    draft: _Draft, entry: Entry, records: tuple[int, ...], reads: set[int], cost: int, pinned: bool = False
) -> _Value:
    rows = draft.machine.records
    record = rows[records[0]]
    operator = draft.machine.steps[record.start].operator
    label = entry.label or record.name or operator
    title = label if label not in ("", "loss") else f"{label} {operator}".strip()
    return _Value(
        records, title, sum(rows[r].nbytes for r in records), cost, reads, False, pinned, entry.origin.scope, operator
    )


def _backward(draft: _Draft, entry: Entry, waiting: set[int]) -> set[int]:
    made = draft.kept(entry.writes)
    saved = draft.known(entry.reads) | waiting
    for place, record in enumerate(made):
        draft.add(_later(draft, record, set(saved), entry.name, entry.cost if place == 0 else 0))
    if made:
        return set()
    if draft.values and entry.cost and draft.values[-1].backward:
        draft.values[-1].cost += entry.cost
    return saved


def _later(draft: _Draft, record: int, reads: set[int], node: str, cost: int) -> _Value:
    row = draft.machine.records[record]
    operator = draft.machine.steps[row.start].operator
    title = row.name if row.kind == "gradient" else f"{node}: {operator}" if node != "leftover" else operator
    return _Value((record,), title, row.nbytes, cost, reads, True, True, row.origin.scope, operator)


def _optimizer(draft: _Draft, machine: Machine) -> None:
    """What no entry of the tape accounts for comes after it: the optimizer's allocations."""
    last = max(draft.of_record, default=-1)
    for record in draft.kept(range(last + 1, len(machine.records))):
        draft.add(_later(draft, record, set(), "optimizer", 0))


def _held(draft: _Draft) -> dict[int, set[int]]:
    """Make lifetimes those of the trace: add reads to the backward; forward value -> what a frame holds past it."""
    rows, values = draft.machine.records, draft.values
    steps = [rows[v.records[0]].start for v in values]
    read: dict[int, int] = {}
    for number, value in enumerate(values):
        for source in value.reads:
            read[source] = number
    marks: dict[int, set[int]] = {}
    for number, value in enumerate(values):
        stop = max(_stop(rows[r], steps[-1] + 1) for r in value.records)
        last = bisect_right(steps, stop - 1) - 1
        if last <= max(number, read.get(number, number)):
            continue
        if values[last].backward:
            values[last].reads.add(number)
        else:
            marks.setdefault(last, set()).add(number)
    return marks


def _stop(record: Record, end: int) -> int:
    return record.stop if record.stop >= 0 else end


def _question(draft: _Draft, marks: dict[int, set[int]], resident: int, name: str) -> Recompute:
    operations: list[Operation] = []
    reads: list[tuple[int, ...]] = []
    place: dict[int, int] = {}
    for number, value in enumerate(draft.values):
        place[number] = len(operations)
        operations.append(
            Operation(value.name, value.nbytes, value.cost, value.backward, value.pinned, value.scope, value.operator)
        )
        reads.append(tuple(sorted(place[s] for s in value.reads)))
        if number in marks:
            operations.append(Operation(f"held through {value.name}", 0, 0, False, True, value.scope, "held"))
            reads.append(tuple(sorted(place[s] for s in marks[number])))
    return Recompute(tuple(operations), tuple(reads), True, resident, name)
