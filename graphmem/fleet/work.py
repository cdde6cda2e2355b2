"""Task -> Outcome: the figures of one model at one batch, in a worker; the file is walked once for all of them.

file --parsed once per worker--> model --walked once per task--> Graph --raised once--> Program --> a figure per setting
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from graphmem import __version__
from graphmem.analysis import inference, model_facts
from graphmem.autograd.program import Program
from graphmem.autograd.raising import Options, raised
from graphmem.fleet.axes import Value, checkpoints
from graphmem.fleet.files import content, is_url
from graphmem.ir.errors import InputError, ModelError, OptionError
from graphmem.ir.graph import Graph, Issue, exactness_of
from graphmem.ir.training import Training, TrainingSettings
from graphmem.memory.allocator import replayed
from graphmem.reader import graph_of
from graphmem.reader.constants import shape_files
from graphmem.reader.dims import fitting
from graphmem.reader.load import file_bytes, inlined, message
from graphmem.schedule.precision import in_precision
from graphmem.training import read_with_batch, training

NOWHERE = Path("/nonexistent")  # the folder of a model at a URL: its external data are not read


@dataclass(frozen=True, slots=True)
class Fixed:
    """What is the same for all cells of a sweep."""

    dims: Mapping[str, int] = field(default_factory=dict)
    loss: str = "cross_entropy"


@dataclass(frozen=True, slots=True)
class Task:
    """One model at one batch: the figures wanted, each by its key and settings; `digest` is of the file expected."""

    location: str
    digest: str
    batch: int | None
    wanted: tuple[tuple[str, Mapping[str, Value]], ...]
    fixed: Fixed
    engine: str


@dataclass(frozen=True, slots=True)
class Figure:
    """What was found for one setting, whatever device it is held against; an error instead of bytes."""

    peak: int | None = None
    needed: int | None = None
    exactness: str = ""
    note: str = ""
    error: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a worker sends back: figures by key, and what of the disk beside the file they depend on."""

    figures: tuple[tuple[str, Figure], ...]
    beside: tuple[tuple[str, int, int], ...] = ()
    engine: str = ""


def engine() -> str:
    """What the figures depend on beside model and settings: the version of graphmem, its very code, and onnx's."""
    if not _ENGINE:
        made = hashlib.sha256()
        for name, data in _sources():
            made.update(f"{name}\0{len(data)}\0".encode())
            made.update(data)
        _ENGINE.append(f"{__version__}+{made.hexdigest()[:12]} onnx {version('onnx')}")
    return _ENGINE[0]


_ENGINE: list[str] = []


def _sources() -> list[tuple[str, bytes]]:
    """The code and tables that figures come from: not how they are shown or asked for."""
    root = Path(str(files("graphmem")))
    found = [path for path in root.rglob("*") if path.suffix in (".py", ".csv") and path.is_file()]
    inner = [path for path in found if path.relative_to(root).parts[0] not in ("cli", "report", "measure", "fleet")]
    here = root / "fleet" / "work.py"
    return [(path.relative_to(root).as_posix(), path.read_bytes()) for path in sorted([*inner, here])]


def outcome(task: Task) -> Outcome:
    """All figures of a task; whatever goes wrong with a model becomes the error of its figures."""
    if task.engine != engine():
        return Outcome((), engine=engine())
    started = time.perf_counter()
    try:
        model, names = _model(task)
        beside = states(task.location, names)
        step = _Step(model, task)
        _ = step.graph
    except Exception as error:
        failed = Figure(error=_told(error, task), seconds=time.perf_counter() - started)
        return Outcome(tuple((key, failed) for key, _ in task.wanted), engine=task.engine)
    share = (time.perf_counter() - started) / len(task.wanted)
    return Outcome(tuple((key, _timed(step, s, task, share)) for key, s in task.wanted), beside, task.engine)


def _timed(step: _Step, settings: Mapping[str, Value], task: Task, share: float) -> Figure:
    started = time.perf_counter()
    try:
        found = _FIGURES[str(settings["mode"])](step, settings)
    except Exception as error:
        found = Figure(error=_told(error, task))
    took = time.perf_counter() - started + share
    return Figure(found.peak, found.needed, found.exactness, found.note, found.error, round(took, 6))


def _told(error: Exception, task: Task) -> str:
    """One line that holds for every file of the same content, so without the file's name."""
    if isinstance(error, MemoryError):
        _LAST.clear()
        return "more memory is needed than a worker may have; give it more with --worker-memory"
    if not isinstance(error, InputError):
        line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return f"graphmem failed ({line}); please report it with the model's graph"
    said = str(error)
    for name in (f"'{task.location}'", f"'{Path(task.location)}'"):
        said = said.replace(name, "the file")
    return said


_LAST: dict[str, tuple[Any, tuple[str, ...]]] = {}


def _model(task: Task) -> tuple[Any, tuple[str, ...]]:
    """The parsed file, kept until another one is asked for, and the names of external data that may hold shapes."""
    held = _LAST.get(task.digest)
    if held is None:
        _LAST.clear()
        data = content(task.location) if is_url(task.location) else file_bytes(Path(task.location))
        if hashlib.sha256(data).hexdigest() != task.digest:
            raise ModelError("the file changed while the sweep ran; run the sweep again")
        model = inlined(message(Path(task.location), data))
        del data
        held = model, tuple(sorted(shape_files(model.graph)))
        _LAST[task.digest] = held
    return held


def _folder(location: str) -> Path:
    return NOWHERE if is_url(location) else Path(location).parent


def states(location: str, names: Iterable[str]) -> tuple[tuple[str, int, int], ...]:
    """(name, size, time of the last change in nanoseconds) of files beside a model, -1s where there is none."""
    return tuple((name, *_state(_folder(location) / name)) for name in names)


def _state(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return -1, -1
    return found.st_size, found.st_mtime_ns


@dataclass
class _Step:
    """A model at a batch: what all its figures share, worked out when first asked for."""

    model: Any
    task: Task
    rebatched: tuple[int, int] | None = None  # the batch that the file fixes, the one asked for; once read
    last: tuple[Mapping[str, Value], Training] | None = None

    @cached_property
    def graph(self) -> Graph:
        """The graph at the batch asked for, or at the file's own where it fixes another."""
        held = {proto.name for proto in self.model.graph.initializer}
        inputs = [info for info in self.model.graph.input if info.name not in held]
        dims = fitting(self.task.fixed.dims, inputs)

        reading = partial(graph_of, self.model, _folder(self.task.location), dims)
        graph, self.rebatched = read_with_batch(self.task.batch, reading)
        return graph

    def trained(self, settings: Mapping[str, Value]) -> Training:
        """One training step; the last one is kept for devices that differ in what they add to it."""
        if self.last is None or self.last[0] != settings:
            on = str(settings["on"])
            asked = TrainingSettings(
                loss=self.task.fixed.loss,
                optimizer=str(settings["optimizer"]),
                form="foreach" if on == "cuda" else "single",
                device=on,
                precision=str(settings["precision"]),
                accumulate=int(settings["accumulate"] or 1),
                checkpoint=checkpoints(settings["checkpoint"]),
            )
            self.last = settings, training(self.graph, self.program, asked, "the file", False, self.rebatched)
        return self.last[1]

    @cached_property
    def program(self) -> Program:
        """The ATen calls that training makes of the graph."""
        return raised(self.graph, Options())


def _inference(step: _Step, settings: Mapping[str, Value]) -> Figure:
    """Weights and activations of one forward run, file order, `views` memory model."""
    if step.rebatched is not None:
        held, asked = step.rebatched
        raise OptionError(f"the file fixes its batch at {held}; export it with a dynamic batch to run {asked}")
    precision = str(settings["precision"])
    graph = step.graph if precision == "fp32" else in_precision(step.graph, precision)
    run = inference(graph, "views", "file")
    peak = model_facts(graph, "").weight_bytes + run.peak
    issues = (*graph.issues, *run.notes)
    return Figure(peak, peak, exactness_of(issues), _noted(step, issues))


def _training(step: _Step, settings: Mapping[str, Value]) -> Figure:
    """One training step; on a GPU also what the caching allocator reserves for it, which is what must fit."""
    found = step.trained({name: value for name, value in settings.items() if name != "cublas"})
    workspace = settings["cublas"]
    needed = found.peak if found.allocator is None else found.allocator.reserved
    if found.allocator is not None and isinstance(workspace, int):
        needed = _reserved(found, workspace)
    return Figure(found.peak, needed, found.exactness, _noted(step, found.issues))


def _reserved(found: Training, cublas_workspace: int) -> int:
    """What the caching allocator reserves for the step beside another workspace of cuBLAS."""
    assert found.details is not None
    sizes = [buffer.nbytes for buffer in found.schedule.buffers] + [nbytes for nbytes, _ in found.details.scratch]
    events = [(event, sizes[event - 1]) if event > 0 else (-event, 0) for event in found.details.events.tolist()]
    return replayed([(0, cublas_workspace), *events]).peak_reserved


_FIGURES: dict[str, Callable[[_Step, Mapping[str, Value]], Figure]] = {"inference": _inference, "training": _training}


def _noted(step: _Step, issues: tuple[Issue, ...]) -> str:
    """What was assumed of the model to get a figure at all."""
    free = [issue.what.split("'")[1] for issue in step.graph.issues if issue.kind == "free-dimension"]
    notes = [f"1 assumed for {', '.join(free)}"] if free else []
    if step.rebatched is not None:
        notes.append(f"the file fixes batch {step.rebatched[0]}; its training step is counted again for the other")
    first = next((issue for issue in issues if issue.effect != "exact" and issue.is_root), None)
    if first is not None:
        notes.append(f"{first.where}: {first.what}" if first.where else first.what)
    return "; ".join(" ".join(note.split()) for note in notes)
