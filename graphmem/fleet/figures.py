"""Model, settings -> Figure: one model at one batch, read once, raised once, and a figure for every setting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from graphmem.fitting.devices import Accelerator
from graphmem.fitting.probe import need_of, run_traced
from graphmem.fleet.axes import Value, checkpoints
from graphmem.ir.errors import OptionError
from graphmem.ir.graph import Graph, Issue, exactness_of
from graphmem.ir.keywords import SweepKeywords, step_names
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Program
from graphmem.ir.training import Training
from graphmem.memory.allocator import CUBLAS_WORKSPACE
from graphmem.memory.training_profile import with_cublas
from graphmem.passes.precision import in_precision
from graphmem.reader import graph_of
from graphmem.reader.batch import read_with_batch
from graphmem.reader.dims import fitting
from graphmem.schedule.inference_figures import inference, model_facts
from graphmem.schedule.programs import program_of
from graphmem.schedule.training_figures import training


@dataclass(frozen=True, slots=True)
class Fixed:
    """What is the same for all cells of a sweep."""

    dims: Mapping[str, int] = field(default_factory=dict)
    step: TrainingOptions = field(default_factory=TrainingOptions)

    @property
    def document(self) -> dict[str, Any]:
        """The same as plain values."""
        step = {name: getattr(self.step, name) for name in step_names(SweepKeywords)}
        return {"dims": dict(self.dims), **step}


@dataclass(frozen=True, slots=True)
class Figure:
    """What was found for one setting, whatever device it is held against; an error instead of bytes."""

    peak: int | None = None
    needed: int | None = None
    exactness: str = ""
    note: str = ""
    error: str = ""
    seconds: float = 0.0


@dataclass
class Model:
    """A model at a batch: what all its figures share, worked out when first asked for."""

    proto: Any
    folder: Path
    batch: int | None
    fixed: Fixed
    rebatched: tuple[int, int] | None = None  # the batch that the file fixes, the one asked for; once read
    last: tuple[Mapping[str, Value], Training] | None = None

    @cached_property
    def graph(self) -> Graph:
        """The graph at the batch asked for, or at the file's own where it fixes another."""
        held = {proto.name for proto in self.proto.graph.initializer}
        inputs = [info for info in self.proto.graph.input if info.name not in held]
        dims = fitting(self.fixed.dims, inputs)

        reading = partial(graph_of, self.proto, self.folder, dims)
        graph, self.rebatched = read_with_batch(self.batch, reading)
        return graph

    def trained(self, settings: Mapping[str, Value]) -> Training:
        """One training step; the last one is kept for devices that differ in what they add to it."""
        if self.last is None or self.last[0] != settings:
            asked = replace(
                self.fixed.step,
                optimizer=str(settings["optimizer"]),
                device=str(settings["on"]),
                precision=str(settings["precision"]),
                accumulate=int(settings["accumulate"] or 1),
                checkpoint=checkpoints(settings["checkpoint"]),
            )
            self.last = settings, training(self.graph, self.program, asked, "the file")
        return self.last[1]

    @cached_property
    def program(self) -> Program:
        """The ATen calls that training makes of the graph."""
        return program_of(self.graph, self.rebatched)


def _inference(model: Model, settings: Mapping[str, Value]) -> Figure:
    """The peak that `graphmem analyze` says, and what a run of PyTorch takes on a device, as `graphmem fit` has it."""
    graph, precision = model.graph, str(settings["precision"])
    if model.rebatched is not None:
        held, asked = model.rebatched
        raise OptionError(f"the file fixes its batch at {held}; export it with a dynamic batch to run {asked}")
    typed = graph if precision == "fp32" else in_precision(graph, precision)
    run = inference(typed, "views", "file")
    on, workspace = str(settings["on"]), settings["cublas"]
    traced = run_traced(graph, model.program, precision, on)
    cublas = workspace if isinstance(workspace, int) else CUBLAS_WORKSPACE[8]
    need = need_of(traced, model.batch, Accelerator(on, on == "cuda", cublas))
    issues = (*traced.issues, *run.notes)
    peak = model_facts(typed, "").weight_bytes + run.peak
    return Figure(peak, need.compared, exactness_of(issues), _noted(model, issues))


def _training(model: Model, settings: Mapping[str, Value]) -> Figure:
    """One training step; on a GPU also what the caching allocator reserves for it, which is what must fit."""
    found = model.trained({name: value for name, value in settings.items() if name != "cublas"})
    workspace = settings["cublas"]
    if isinstance(workspace, int) and found.details is not None:
        found = with_cublas(found, found.details, workspace)
    needed = found.peak if found.allocator is None else found.allocator.reserved
    return Figure(found.peak, needed, found.exactness, _noted(model, found.issues))


FIGURES: dict[str, Callable[[Model, Mapping[str, Value]], Figure]] = {"inference": _inference, "training": _training}


def _noted(model: Model, issues: tuple[Issue, ...]) -> str:
    """What was assumed of the model to get a figure at all."""
    free = [issue.what.split("'")[1] for issue in model.graph.issues if issue.kind == "free-dimension"]
    notes = [f"1 assumed for {', '.join(free)}"] if free else []
    if model.rebatched is not None:
        notes.append(f"the file fixes batch {model.rebatched[0]}; its training step is counted again for the other")
    first = next((issue for issue in issues if issue.effect != "exact" and issue.is_root), None)
    if first is not None:
        notes.append(f"{first.where}: {first.what}" if first.where else first.what)
    return "; ".join(" ".join(note.split()) for note in notes)
