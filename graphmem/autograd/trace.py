"""Allocations, releases and operators, each in its Context -> the trace of them: records, steps, events.

Outermost operators are the steps of the trace. A buffer that is freed inside the operator that allocated it is that
operator's workspace; every other buffer is alive from its operator through the last operator before its release.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graphmem.autograd.strides import Shape
from graphmem.autograd.tensor import Storage, Tensor
from graphmem.ir.graph import Origin

NO_ORIGIN = Origin()
UNMADE = "unmade"  # kind of a record that the trace has no allocation for


@dataclass(slots=True)
class Record:
    """One allocation of the trace: alive in steps start..stop, half-open; `stop` is -1 while it lives."""

    nbytes: int
    start: int
    stop: int
    kind: str
    name: str
    origin: Origin
    dtype: str
    shape: Shape


@dataclass(slots=True)
class OperatorRun:
    """One outermost operator that ran."""

    operator: str
    phase: str
    node: str
    origin: Origin
    workspace: int = 0


@dataclass(slots=True)
class Autocast:
    """The lower precision of a torch.autocast that is entered, and the casts of weights that it keeps, by tensor."""

    dtype: str
    cache: dict[int, Tensor]


class Context(NamedTuple):  # not a dataclass: one is made for every call, and this takes half the time
    """What surrounds an operator: `kind` and `label` are of what it allocates, `node` is the backward function.

    `wanted` and `wanted_dtypes` are the output shapes and types that the file states for the running call.
    """

    phase: str = "forward"
    kind: str = "activation"
    label: str = ""
    node: str = ""
    origin: Origin = NO_ORIGIN
    wanted: tuple[Shape, ...] = ()
    wanted_dtypes: tuple[str, ...] = ()
    autocast: Autocast | None = None
    grad_enabled: bool = True


OUTSIDE = Context()


class _Within:
    """Another context until the block ends, however it ends; a class because it is entered for every call."""

    __slots__ = ("before", "inside", "trace")

    def __init__(self, trace: Trace, changes: dict[str, Any]) -> None:
        self.trace = trace
        self.before = trace.context
        self.inside = self.before._replace(**changes)

    def __enter__(self) -> None:
        self.trace.context = self.inside

    def __exit__(self, *_: object) -> None:
        self.trace.context = self.before


@dataclass(slots=True)
class Trace:
    """The trace of one process while it runs. `device` is "cpu" or "cuda"."""

    device: str = "cpu"
    context: Context = OUTSIDE
    records: list[Record] = field(default_factory=list)
    steps: list[OperatorRun] = field(default_factory=list)
    events: list[int] = field(default_factory=list)  # +number + 1 on allocation, -(number + 1) on release
    reads: list[tuple[int, int, tuple[int, ...]]] = field(default_factory=list)  # steps [a, b) read these records
    open_: str = ""
    opened: int = 0  # number of events before the open operator
    inner: dict[int, int] = field(default_factory=dict)  # storages allocated in the open operator
    inner_live: int = 0
    inner_top: int = 0

    def within(self, **changes: Any) -> _Within:
        """`with m.within(kind="temporary"):` runs the block in a context that differs so."""
        return _Within(self, changes)

    @property
    def wanted(self) -> tuple[Shape, ...]:
        """Output shapes that the file states for the running call."""
        return self.context.wanted

    @property
    def wanted_dtypes(self) -> tuple[str, ...]:
        """Output types that the file states for the running call."""
        return self.context.wanted_dtypes

    @property
    def autocast(self) -> Autocast | None:
        """The autocast that is entered."""
        return self.context.autocast

    def allocate(self, nbytes: int, shape: Shape, dtype: str) -> Storage:
        """A new storage, written down."""
        at = self.context
        if not self.open_:
            self.steps.append(OperatorRun("", at.phase, at.node, at.origin))
        number, step = len(self.records), len(self.steps) - 1
        self.records.append(Record(nbytes, step, -1, at.kind, at.label, at.origin, dtype, shape))
        self.events.append(number + 1)
        if self.open_:
            self.inner[number] = nbytes
            self.inner_live += nbytes
            self.inner_top = max(self.inner_top, self.inner_live)
        return Storage(number, nbytes)

    def free(self, storage: Storage) -> None:
        """The storage is gone."""
        record = self.records[storage.number]
        record.stop = len(self.steps)
        if record.kind == UNMADE:
            return
        self.events.append(-(storage.number + 1))
        if storage.number in self.inner:
            self.inner_live -= self.inner.pop(storage.number)
            record.kind = "workspace"

    def unmake(self, number: int) -> None:
        """Take an allocation of the open operator back: it was stopped before it came to that."""
        if number not in self.inner:
            return
        self.records[number].kind, self.records[number].nbytes = UNMADE, 0
        self.events.remove(number + 1)
        self.inner_live -= self.inner.pop(number)
        live = self.inner_top = 0
        for event in self.events[self.opened :]:
            live += self.records[abs(event) - 1].nbytes if event > 0 else -self.records[abs(event) - 1].nbytes
            self.inner_top = max(self.inner_top, live)

    @contextmanager
    def operator(self, name: str) -> Iterator[None]:
        """An ATen operator; inside another one it is not seen. One that an exception breaks off stays open."""
        if self.open_:
            yield
            return
        at = self.context
        self.open_ = name
        self.inner, self.inner_live, self.inner_top = {}, 0, 0
        self.opened = len(self.events)
        self.steps.append(OperatorRun(name, at.phase, at.node, at.origin))
        yield
        self.close()

    def close(self) -> None:
        """The open operator ends, if there is one."""
        if self.open_:
            self.steps[-1].workspace = self.inner_top - self.inner_live
        self.inner, self.open_ = {}, ""

    def note_reads(self, first: int, records: Sequence[int]) -> None:
        """Write down, for pictures only, that the operators from step `first` on have read these records."""
        if records and len(self.steps) > first:
            self.reads.append((first, len(self.steps), tuple(records)))
