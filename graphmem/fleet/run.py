"""Paths, grid -> records, in the order of paths and grid: what `graphmem sweep` runs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from graphmem.fleet.axes import Cell, Grid, figure_settings, grid_of
from graphmem.fleet.figures import Figure, Fixed
from graphmem.fleet.files import ModelFile, digest, model_files
from graphmem.fleet.journal import Journal, key_of
from graphmem.fleet.rows import Slot, record_of
from graphmem.fleet.work import Task, TaskFigures, engine
from graphmem.ir.errors import InputError, OptionError
from graphmem.ir.fleet import SweepProgress, SweepRecord
from graphmem.ir.keywords import SweepKeywords, asked, takes

if TYPE_CHECKING:
    from typing_extensions import Unpack

AHEAD = 4096  # tasks whose rows may wait for an earlier, slower one
CHANGED = "the external data beside the file changed while the sweep ran; run it again"
DIED = "its worker died twice, the second time with nothing else running; run `graphmem analyze` on it to see why"


class Workers(Protocol):
    """Where tasks run. `finished` has None for a task whose worker died."""

    @property
    def has_room(self) -> bool:
        """True when another task may be submitted."""

    @property
    def running(self) -> Mapping[Any, Task]:
        """What is under way."""

    def submit(self, task: Task) -> None:
        """Start a task."""

    def finished(self) -> list[tuple[Task, TaskFigures | None]]:
        """Wait until tasks have ended."""

    def close(self) -> None:
        """Give back what is held."""


@takes(SweepKeywords)
def sweep(
    paths: Iterable[str | Path] | str | Path,
    grid: Mapping[str, Any] | None = None,
    scheduler: str | None = None,
    *,
    jobs: int = 1,
    dims: Mapping[str, int] | None = None,
    journal: str | Path | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    worker_memory: int | None = None,
    progress: Callable[[SweepProgress], None] | None = None,
    **step: Unpack[SweepKeywords],
) -> Iterator[SweepRecord]:
    """The memory of every model at every setting: one record per model and cell of the grid, in that order.

    Args:
        paths: files, folders, globs, "@FILE" for a list, URLs that fsspec opens.
        grid: {axis: value or values}: batch, mode ("inference", "training"), precision, optimizer, checkpoint, device
            (names of the catalogue, sizes, or "cpu" and "cuda", which hold no figure against a device).
        scheduler: address of a Dask scheduler; processes of this machine when None.
        jobs: how many of these; 0 to work in this very process, where nothing bounds memory or survives a crash.
        dims: numbers for free dimensions, bound in the models that have them.
        journal: file in which figures are kept, so that a sweep that was ended goes on where it was; None keeps none.
        fresh: forget what the journal holds.
        retry_failed: work out again what the journal has as an error.
        worker_memory: most bytes of a local worker; its share of 80 % of this machine's when None.
        progress: called after every change.
        step: what all training steps share, as for `train`.

    Raises:
        OptionError: at once, for paths without a model, a grid that is none, or a scheduler that is not there. A model
            that fails is a record with its error.
    """
    files = model_files([paths] if isinstance(paths, str | Path) else paths)
    cells = grid_of(grid or {})
    if jobs < 0:
        raise OptionError(f"{jobs} processes cannot work; give at least 1, or 0 for this one")
    fixed = Fixed(dict(dims or {}), asked(SweepKeywords, None, step)[1])
    kept = Journal(None if journal is None else Path(journal), fresh, retry_failed)
    try:
        at = _engine(scheduler, jobs, worker_memory)
    except BaseException:
        kept.close()
        raise
    return _Sweep(files, cells, fixed, kept, at, progress or (lambda _: None)).records()


def _engine(scheduler: str | None, jobs: int, memory: int | None) -> Workers:
    if scheduler is not None:
        from graphmem.fleet.cluster import DaskEngine

        return DaskEngine(scheduler)
    from graphmem.fleet.local import InlineEngine, LocalEngine

    return LocalEngine(jobs, memory) if jobs else InlineEngine()


@dataclass(slots=True)
class _Sweep:
    """One sweep under way."""

    files: Sequence[ModelFile]
    grid: Grid
    fixed: Fixed
    journal: Journal
    engine: Workers
    report: Callable[[SweepProgress], None]
    again: set[tuple[str, object]] = field(default_factory=set)  # (file, batch) worked out apart from its copies

    def records(self) -> Iterator[SweepRecord]:
        """Fill the engine, write down what it finishes, and give out rows whose turn has come."""
        started = time.monotonic()
        state = SweepProgress(len(self.files) * len(self.grid.cells))
        fresh: set[str] = set()  # keys worked out in this run, or being so
        waiting: deque[Slot] = deque()
        coming = self._slots()
        suspects: deque[Task] = deque()
        is_over = False
        try:
            self.report(state)
            while True:
                while not is_over and self.engine.has_room and not suspects and len(waiting) < AHEAD:
                    slot = next(coming, None)
                    if slot is None:
                        is_over = True
                        break
                    waiting.append(slot)
                    self._start(slot, fresh)
                    if len(waiting) == 1 and not self.engine.running:
                        break  # nothing to do for it: give its rows out
                while waiting and all(key in self.journal.places for key in waiting[0].keys):
                    if self._differs(waiting[0], fresh):
                        break
                    slot = waiting.popleft()
                    found = list(self._rows(slot))
                    yield from found
                    state = _advanced(state, found, [key in fresh for key in slot.keys], time.monotonic() - started)
                    self.report(state)
                if is_over and not waiting:
                    return
                if suspects and not self.engine.running:
                    self._alone(suspects.popleft())
                elif self.engine.running:
                    suspects.extend(self._settle(self.engine.finished()))
        finally:
            self.engine.close()
            self.journal.close()

    def _slots(self) -> Iterator[Slot]:
        """All rows in their order; every file is hashed once, when its turn comes."""
        for file in self.files:
            try:
                found, error = digest(file.location), ""
            except InputError as failed:
                found, error = "", str(failed)
            for cells in self.grid.by_batch().values():
                keys = [] if error else [self._key(found, cell) for cell in cells]
                yield Slot(file, found, cells, keys, error)

    def _key(self, found: str, cell: Cell) -> str:
        return key_of(engine=engine(), file=found, settings=figure_settings(cell), fixed=self.fixed.document)

    def _start(self, slot: Slot, fresh: set[str]) -> None:
        """Submit what no earlier run and no other file of the same content has worked out."""
        wanted = {
            key: figure_settings(cell)
            for key, cell in zip(slot.keys, slot.cells, strict=False)
            if key not in fresh and self.journal.get(key, slot.file.location) is None
        }
        for key in wanted:
            self.journal.drop(key)
        if wanted:
            fresh.update(wanted)
            batch = slot.cells[0]["batch"]
            assert not isinstance(batch, str)
            self.engine.submit(
                Task(slot.file.location, slot.digest, batch, tuple(wanted.items()), self.fixed, engine())
            )

    def _differs(self, slot: Slot, fresh: set[str]) -> bool:
        """True when a copy of the same content had other external data beside it: then its figures are its own."""
        known = zip(slot.keys, (self.journal.get(key, slot.file.location) for key in slot.keys), strict=True)
        other = [key for key, found in known if found is None]
        own = slot.file.location, slot.cells[0]["batch"]
        if not other or own in self.again:
            return False
        self.again.add(own)
        fresh.difference_update(other)
        self._start(slot, fresh)
        return True

    def _settle(self, ended: Iterable[tuple[Task, TaskFigures | None]]) -> Iterator[Task]:
        """Write figures down; the tasks whose workers died, to be tried once more."""
        for task, outcome in ended:
            if outcome is None:
                yield task
                continue
            if outcome.engine != task.engine:
                raise OptionError(
                    f"a worker runs graphmem {outcome.engine}, this is {task.engine}; install the same on both"
                )
            self.journal.add(outcome.figures, outcome.beside)

    def _alone(self, task: Task) -> None:
        """Run a task whose worker died with nothing beside it, so that a second death is its own doing."""
        self.engine.submit(task)
        for again in self._settle(self.engine.finished()):
            self.journal.add((key, Figure(error=DIED)) for key, _ in again.wanted)

    def _rows(self, slot: Slot) -> Iterator[SweepRecord]:
        for i, cell in enumerate(slot.cells):
            found = Figure(error=slot.error) if slot.error else self.journal.get(slot.keys[i], slot.file.location)
            yield record_of(slot, cell, found or Figure(error=CHANGED))


def _advanced(
    state: SweepProgress, rows: Sequence[SweepRecord], worked: Sequence[bool], elapsed: float
) -> SweepProgress:
    return SweepProgress(
        state.rows,
        state.done + len(rows),
        state.failed + sum(bool(row.error) for row in rows),
        state.reused + len(rows) - sum(worked),
        elapsed,
    )
