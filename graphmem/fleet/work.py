"""Task -> TaskFigures: the figures of one model at one batch, in a worker; the file is walked once for all of them.

file --parsed once per worker--> model --walked once per task--> Graph --raised once--> Program --> a figure per setting
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from graphmem.fleet.axes import Value
from graphmem.fleet.figures import FIGURES, Figure, Fixed, Model
from graphmem.fleet.files import content, is_url
from graphmem.ir.errors import InputError, ModelError
from graphmem.ir.version import __version__
from graphmem.reader.constants import shape_files
from graphmem.reader.functions import inlined
from graphmem.reader.load import file_bytes, message

NOWHERE = Path("/nonexistent")  # the folder of a model at a URL: its external data are not read


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
class TaskFigures:
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
    here = [root / "fleet" / name for name in ("figures.py", "work.py")]
    return [(path.relative_to(root).as_posix(), path.read_bytes()) for path in sorted([*inner, *here])]


def outcome(task: Task) -> TaskFigures:
    """All figures of a task; whatever goes wrong with a model becomes the error of its figures."""
    if task.engine != engine():
        return TaskFigures((), engine=engine())
    started = time.perf_counter()
    try:
        model, names = _model(task)
        beside = states(task.location, names)
        asked = Model(model, _folder(task.location), task.batch, task.fixed)
        _ = asked.graph
    except Exception as error:
        failed = Figure(error=_told(error, task), seconds=time.perf_counter() - started)
        return TaskFigures(tuple((key, failed) for key, _ in task.wanted), engine=task.engine)
    share = (time.perf_counter() - started) / len(task.wanted)
    return TaskFigures(tuple((key, _timed(asked, s, task, share)) for key, s in task.wanted), beside, task.engine)


def _timed(model: Model, settings: Mapping[str, Value], task: Task, share: float) -> Figure:
    started = time.perf_counter()
    try:
        found = FIGURES[str(settings["mode"])](model, settings)
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
