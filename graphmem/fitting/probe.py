"""(file, batch, settings) -> Need, remembered: a file is read once per batch, a step simulated once per settings.

A forward run in half precision -> the same with weights of linear layers in int8 or int4, as torchao quantizes them.

Weight-only: `torchao.quantization.quantize_` replaces the weights of `nn.Linear`, whose kernels convert as they read.
int8 has one scale per output row of two bytes, fp8 one of four, int4 a scale and a zero point of two bytes each per row
and group of 128 inputs (Int8WeightOnlyConfig, Float8WeightOnlyConfig, Int4WeightOnlyConfig(group_size=128)). A weight
that anything else reads too (tied embeddings) is left as it is.

Path, device -> Need: what one forward run of PyTorch takes on a device, as `graphmem fit` holds it against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from graphmem.autograd.releases import TAKEN, tells_names
from graphmem.fitting.devices import Accelerator, accelerator
from graphmem.fitting.traffic import moved_by_step
from graphmem.ir.analysis import ModelFacts
from graphmem.ir.device import Device
from graphmem.ir.errors import ModelError, OptionError
from graphmem.ir.fit import Need
from graphmem.ir.graph import Effect, Graph, Issue, exactness_of
from graphmem.ir.keywords import ReadingKeywords
from graphmem.ir.options import RAISING, ReadingOptions, TrainingOptions
from graphmem.ir.program import Program
from graphmem.ir.questions import Interval
from graphmem.ir.types import TensorType
from graphmem.memory.allocator import replayed
from graphmem.passes.pruning import pruned
from graphmem.reader.batch import read_at_batch
from graphmem.schedule.eager import TrainingTrace, forward_trace, training_trace
from graphmem.schedule.inference_figures import model_facts
from graphmem.schedule.programs import program_of
from graphmem.schedule.questions import interval
from graphmem.schedule.training_figures import allocator_events, followed, uncounted

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True, slots=True)
class Form:
    """Bits of a weight, bytes of a group's scale and zero point, inputs of a group (0: the whole row)."""

    computed: str  # precision of everything else
    bits: int
    scale: int
    group: int


FORMS = {"int8": Form("fp16", 8, 2, 0), "fp8": Form("bf16", 8, 4, 0), "int4": Form("bf16", 4, 4, 128)}


def linear_weights(program: Program) -> frozenset[str]:
    """Names of the matrices that linear layers read and nothing else does."""
    matrices = {g.name for g in program.of("parameter") if len(g.type.shape) == 2}
    linear: set[str] = set()
    others: set[str] = set()
    for call in program.calls:
        used = linear if call.target.startswith("aten.linear") else others
        used.update(name for name in call.reads if name in matrices)
    return frozenset(linear - others)


def quantize(trace: TrainingTrace, program: Program, form: Form) -> None:
    """Shrink the weights in the trace, which holds them from its start to its end: nothing else changes."""
    names = linear_weights(program)
    for record in trace.machine.records:
        if record.kind == "parameter" and record.name in names and record.start < trace.first_step:
            rows, inputs = record.shape
            groups = -(-inputs // form.group) if form.group else 1
            record.nbytes = rows * (-(-inputs * form.bits // 8) + groups * form.scale)


NATIVE, EXPANDABLE = "native", "expandable"
Settings: TypeAlias = Mapping[str, Any]
Fixed: TypeAlias = "tuple[int, int] | None"  # (batch of the file, another one it is asked for at)
_STATE = ("parameter", "buffer", "optimizer_state")


@dataclass(frozen=True, slots=True)
class Batching:
    """Whether the file leaves the batch free, the batch that it fixes, where it does, or why none can be chosen."""

    is_free: bool
    held: int | None
    reason: str = ""


@dataclass(slots=True)
class Source:
    """The file, read once per batch."""

    path: Path
    reading: ReadingOptions
    _graphs: dict[int | None, tuple[Graph, Fixed]] = field(default_factory=dict)

    def at(self, batch: int | None) -> tuple[Graph, Fixed]:
        """The graph at a batch, and the two batches where the file fixes another."""
        if batch not in self._graphs:
            self._graphs[batch] = read_at_batch(self.path, replace(self.reading, batch=batch))
        return self._graphs[batch]

    def batching(self) -> Batching:
        """Whether the batch may be chosen; looked at with 8, which a search looks at too."""
        try:
            graph, fixed = self.at(8)
        except (OptionError, ModelError) as error:
            return Batching(False, None, str(error))
        if any(issue.kind == "batch" for issue in graph.issues):
            return Batching(True, None)
        return Batching(False, fixed[0] if fixed else 8)

    def facts(self, batch: int | None) -> ModelFacts:
        """The model at a glance."""
        return model_facts(self.at(batch)[0], self.path.stem)

    def input_bytes(self, batch: int | None) -> int:
        """Bytes of one batch of inputs."""
        graph, fixed = self.at(batch)
        types = [graph.tensors[name].type for name in graph.inputs]
        nbytes = sum(t.nbytes for t in types if isinstance(t, TensorType) and t.has_size)
        return nbytes * fixed[1] // fixed[0] if fixed and fixed[0] else nbytes


@dataclass(frozen=True, slots=True)
class Traced:
    """What is kept of one simulated step."""

    peak: int
    events: tuple[tuple[int, int], ...]
    moved: int
    exactness: Effect
    uncounted: tuple[str, ...]
    issues: tuple[Issue, ...]
    state: int
    copied: int  # to host memory and back
    host: int


@dataclass(slots=True)
class Probe:
    """Training steps of one file, or forward runs of it."""

    source: Source
    is_training: bool
    _programs: dict[Any, Program] = field(default_factory=dict)
    _traced: dict[Any, Traced] = field(default_factory=dict)
    _needs: dict[Any, Need] = field(default_factory=dict)

    def need(self, batch: int | None, settings: Settings, on: Accelerator, allocator: str = NATIVE) -> Need:
        """What the step needs; `settings` are keyword arguments of `graphmem.train`."""
        key = (batch, _key(settings), on, allocator)
        if key not in self._needs:
            self._needs[key] = need_of(self.traced(batch, settings, on.torch_device), batch, on, allocator)
        return self._needs[key]

    def issues(self, batch: int | None, settings: Settings, on: Accelerator) -> tuple[Issue, ...]:
        """What is missing or assumed in the figures."""
        return self.traced(batch, settings, on.torch_device).issues

    def notes(self, batch: int | None, settings: Settings) -> tuple[str, ...]:
        """What the file does not say and an option would, each kind once; a forward run has no dropout."""
        told = [i.what for i in self.program(batch, settings).inferred if "; give --" in i.what]
        return tuple(dict.fromkeys(what for what in told if self.is_training or "dropout" not in what))

    def interval(self, batch: int | None, settings: Settings, on: Accelerator) -> Interval:
        """What the file leaves open of the step, and the answers under which it needs most; a forward run: nothing."""
        traced = self.traced(batch, settings, on.torch_device)
        if not self.is_training:
            return Interval(traced.peak, traced.peak)
        graph, _ = self.source.at(batch)
        step = TrainingOptions(device=on.torch_device, **settings)
        with followed(f"'{self.source.path.name}' at batch {batch}"):
            return interval(graph, step, self.program(batch, settings), traced.peak)

    def state_bytes(self, batch: int | None, settings: Settings, on: Accelerator) -> int:
        """Bytes of a checkpoint: parameters, buffers and the optimizer's state."""
        return self.traced(batch, settings, on.torch_device).state

    def traced(self, batch: int | None, settings: Settings, torch_device: str) -> Traced:
        """The step on a simulated machine."""
        key = (batch, _key(settings), torch_device)
        if key not in self._traced:
            self._traced[key] = self._simulated(batch, settings, torch_device)
        return self._traced[key]

    def _simulated(self, batch: int | None, settings: Settings, torch_device: str) -> Traced:
        graph, _ = self.source.at(batch)
        program = self.program(batch, settings)
        with followed(f"'{self.source.path.name}' at batch {batch}"):
            if not self.is_training:
                return run_traced(graph, program, settings["precision"], torch_device)
            trace = training_trace(program, TrainingOptions(device=torch_device, **settings))
        return _kept(trace, graph, program, moved_by_step(trace, settings["accumulate"], True))

    def program(self, batch: int | None, settings: Settings) -> Program:
        """The model as ATen calls."""
        options = {name: settings[name] for name in RAISING}
        key = (batch, *options.values())
        if key not in self._programs:
            self._programs[key] = program_of(*self.source.at(batch), TrainingOptions(**options))
        return self._programs[key]


def need_of(traced: Traced, batch: int | None, on: Accelerator, allocator: str = NATIVE) -> Need:
    """What a traced step or run needs on a device: with a caching allocator what that reserves, else the peak."""
    more: dict[str, Any] = {
        "counted": traced.exactness, "moved": traced.moved, "copied": traced.copied, "host": traced.host,
    }  # fmt: skip
    if not on.has_caching_allocator:
        return Need(batch, traced.peak, traced.peak, "at least", uncounted=on.uncounted, **more)
    found = replayed(((0, on.cublas_workspace), *traced.events), expandable=allocator == EXPANDABLE)
    exactness: Effect = "at least" if traced.uncounted else traced.exactness
    reserved = found.peak_reserved
    return Need(batch, traced.peak, reserved, exactness, found.peak_allocated, reserved, traced.uncounted, **more)


def run_traced(graph: Graph, program: Program, precision: str, torch_device: str) -> Traced:
    """A forward run of PyTorch under `torch.no_grad()`, weights quantized where the precision is one of FORMS."""
    form = FORMS.get(precision)
    trace = forward_trace(program, torch_device, form.computed if form else precision)
    if form is not None:
        quantize(trace, program, form)
    return _kept(trace, graph, program, moved_by_step(trace, 1, False))


def _key(settings: Settings) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(settings.items()))


def _kept(trace: TrainingTrace, graph: Graph, program: Program, moved: int) -> Traced:
    records = trace.machine.records
    events = tuple(allocator_events(trace))
    peak, phase = _peak(trace)
    is_told = phase != "forward" or tells_names(program)
    is_step = any(step.phase == "backward" for step in trace.machine.steps)
    unnamed = () if is_told or is_step else (TAKEN,)  # of a step, how long names hold values is a question
    issues = (*graph.issues, *program.issues, *trace.issues, *unnamed)
    traffic = trace.traffic
    copied, host = (traffic.to_host + traffic.to_device, traffic.host) if traffic is not None else (0, 0)
    state = sum(r.nbytes for r in records if r.kind in _STATE and r.start < trace.first_step)
    return Traced(peak, events, moved, exactness_of(issues), uncounted(trace), issues, state, copied, host)


def _peak(trace: TrainingTrace) -> tuple[int, str]:
    """The peak that `graphmem.train` gives, and its phase, added up without lifetimes."""
    first, steps = trace.first_step, len(trace.machine.steps)
    kept = [r for r in trace.machine.records if r.kind != "workspace" and not 0 <= r.stop <= first]
    starts = np.array([max(r.start, first) - first for r in kept], dtype=np.int64)
    stops = np.array([(r.stop if r.stop >= 0 else steps) - first for r in kept], dtype=np.int64)
    sizes = np.array([r.nbytes for r in kept], dtype=np.int64)
    change = np.zeros(steps - first + 1, dtype=np.int64)
    np.add.at(change, starts, sizes)
    np.subtract.at(change, stops, sizes)
    live = np.cumsum(change)[:-1]
    if not len(live):
        return 0, ""
    top = int(live.argmax())
    return int(live[top]), trace.machine.steps[first + top].phase


def run_need(
    path: str | Path,
    device: Device,
    dims: Mapping[str, int] | None = None,
    *,
    prune: float = 0.0,
    **reading: Unpack[ReadingKeywords],
) -> Need:
    """Bytes that a run under `torch.no_grad()` needs on `device`; arguments and errors as for `graphmem.analyze`."""
    how = ReadingOptions(dims=dims, **reading)
    graph, fixed = read_at_batch(path, how)
    graph = pruned(graph, prune)
    on = accelerator(device)
    with followed(f"a run of '{Path(path).name}'"):
        traced = run_traced(graph, program_of(graph, fixed), "fp32", on.torch_device)
    return need_of(traced, how.batch, on)
