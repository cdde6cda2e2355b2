"""Path -> Training: the walk from a forward file to the memory of a training step, and its public API."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from graphmem.analysis import model_facts
from graphmem.autograd.holding import UNNAMED, longest_holds, tells_names
from graphmem.autograd.losses import LOSSES
from graphmem.autograd.optimizers import FORMS, OPTIMIZERS
from graphmem.autograd.precision import PRECISIONS
from graphmem.autograd.program import Program
from graphmem.autograd.raising import OPTIONAL, Options, raised
from graphmem.autograd.run import MISFITS
from graphmem.ir.errors import ModelError, OptionError
from graphmem.ir.graph import Graph, Issue
from graphmem.ir.training import (
    OFFLOADS,
    Inferred,
    Training,
    TrainingSettings,
)
from graphmem.ir.types import TensorType
from graphmem.memory.liveness import lifetimes, timeline
from graphmem.reader import read
from graphmem.schedule.pruning import pruned
from graphmem.schedule.training import training_trace
from graphmem.schedule.training_details import training_details
from graphmem.schedule.training_figures import (
    allocator_figures,
    breakdown,
    peak_of,
    phase_peaks,
    saved_activations,
    without_workspace,
)

DEVICES = ("cpu", "cuda")


def train(
    path: str | Path,
    dims: Mapping[str, int] | None = None,
    *,
    batch: int | None = None,
    loss: str = "cross_entropy",
    optimizer: str = "sgd",
    form: str | None = None,
    weight_decay: bool = False,
    device: str = "cpu",
    freeze: Sequence[str] = (),
    assume_bn: bool = False,
    dropout: float | None = None,
    attention_dropout: float | None = None,
    precision: str = "fp32",
    accumulate: int = 1,
    checkpoint: Sequence[str] = (),
    lora: str = "",
    offload: Sequence[str] = (),
    prune: float = 0.0,
    strict: bool = False,
    trips: Mapping[str, int] | None = None,
    shapes: Mapping[str, TensorType] | None = None,
) -> Training:
    """The memory of one eager PyTorch training step of the model in the ONNX file at `path`.

    Args:
        path: the forward graph, as any PyTorch exporter writes it; weights may be absent.
        dims: numbers for free dimensions, as for `analyze`.
        batch: number for the free leading dimension of the inputs.
        loss: a key of LOSSES; targets of the right type count with the inputs.
        optimizer: a key of OPTIMIZERS.
        form: single, foreach or fused; torch's default for the device when None.
        weight_decay: True when the optimizer is given a weight decay that needs a tensor of its own.
        device: cpu or cuda.
        freeze: patterns of parameter names (as in the shell) that are not trained.
        assume_bn: put a batch norm after convolutions where structure suggests that one was folded in.
        dropout: put dropout of this probability back where an export in evaluation mode has removed it.
        attention_dropout: the same for dropout of attention weights alone; as `dropout` when None.
        precision: a key of PRECISIONS; fp32 stands for the types of the file.
        accumulate: forward and backward passes of `batch` samples before the optimizer steps.
        checkpoint: what torch.utils.checkpoint (use_reentrant=False) is wrapped around: patterns of module scopes (as
            in the shell), "blocks", "every:K" or "sqrt".
        lora: "R" or "R:PATTERN": freeze the model and train adapters of rank R beside its linear layers; all but the
            last, or those whose module (its path or last name) matches the pattern.
        offload: of OFFLOADS: "optimizer" keeps the optimizer's state and step on the host, "activations" what the
            forward pass saves (`with torch.autograd.graph.save_on_cpu(pin_memory=True)` around the model's call).
        prune: share of the channels of every layer to take out where the graph allows.
        strict: refuse a free dimension instead of taking 1.
        trips: how often a loop runs, as for `analyze`.
        shapes: types of tensors that cannot be known, as for `analyze`.

    Raises:
        ModelError: the file is not a readable, valid model.
        OptionError: an option fits neither the model nor the choices.
    """
    settings = checked_settings(loss, optimizer, form, device, freeze, precision, accumulate, checkpoint, lora, offload)
    graph, fixed = read_with_batch(batch, partial(read, path, dims, is_strict=strict, trips=trips, shapes=shapes))
    graph = pruned(graph, prune)
    program = raised(graph, Options(assume_bn, dropout, attention_dropout))
    found = training(graph, program, settings, Path(path).stem, weight_decay, fixed)
    kinds = {i.what for i in program.inferred}
    effects = {}
    for kind in OPTIONAL:
        if kind in kinds:
            other = raised(graph, Options(assume_bn, dropout, attention_dropout, kind))
            with followed(f"the step without '{kind}'"):
                effects[kind] = found.peak - peak_of(training_trace(other, settings, weight_decay, fixed))
    return replace(found, inferred=tuple(replace(i, nbytes=effects.get(i.what)) for i in found.inferred))


def checked_settings(
    loss: str,
    optimizer: str,
    form: str | None,
    device: str,
    freeze: Sequence[str],
    precision: str,
    accumulate: int = 1,
    checkpoint: Sequence[str] = (),
    lora: str = "",
    offload: Sequence[str] = (),
) -> TrainingSettings:
    """The settings of a step, as `train` takes them; raises OptionError where one is not a choice."""
    _check("loss", loss, LOSSES)
    _check("optimizer", optimizer, OPTIMIZERS)
    _check("device", device, DEVICES)
    _check("precision", precision, PRECISIONS)
    for what in offload:
        _check("offload", what, OFFLOADS)
    form = form or ("foreach" if device == "cuda" else "single")
    _check("optimizer form", form, FORMS)
    if accumulate < 1:
        raise OptionError(f"accumulate {accumulate} is not a number of passes: give 1 or more")
    return TrainingSettings(
        loss, optimizer, form, device, tuple(freeze), precision, accumulate, tuple(checkpoint), lora, tuple(offload)
    )


@contextmanager
def followed(what: str) -> Iterator[None]:
    """Inside, a rule that meets shapes it was not written for is a ModelError that names `what`."""
    try:
        yield
    except MISFITS as error:
        raise ModelError(f"{what} cannot be followed ({error}); please report it with the model's graph") from error


def read_with_batch(batch: int | None, reading: Callable[..., Graph]) -> tuple[Graph, tuple[int, int] | None]:
    """The graph, and where the file fixes another batch than is asked for, (that batch, the one asked for)."""
    try:
        return reading(batch=batch), None
    except OptionError:
        graph = reading()
        held = batch_of(graph)
        if batch is None or held is None:
            raise
        return graph, ((held, batch) if held != batch else None)


def batch_of(graph: Graph) -> int | None:
    """The leading dimension that all inputs share, or None."""
    shapes = [t.shape for name in graph.inputs if isinstance(t := graph.tensors[name].type, TensorType)]
    sizes = {shape[0] for shape in shapes if shape}
    return sizes.pop() if len(sizes) == 1 else None


def _check(what: str, value: str, choices: Mapping[str, object] | Sequence[str]) -> None:
    if value not in choices:
        raise OptionError(f"{what} '{value}' is not one of {', '.join(choices)}")


def training(
    graph: Graph,
    program: Program,
    settings: TrainingSettings,
    name: str,
    weight_decay: bool,
    batch: tuple[int, int] | None = None,
) -> Training:
    """Trace, lifetimes, timeline and what they add up to."""
    with followed(f"the backward pass of '{name}'"):
        trace = training_trace(program, settings, weight_decay, batch)
    alive = lifetimes(trace.schedule)
    bare = timeline(alive, without_workspace(trace))
    peak = trace.schedule.steps[bare.peak_step]
    where = trace.machine.steps[trace.first_step + bare.peak_step]
    unnamed = _unnamed(program, settings, weight_decay, batch, bare.peak, peak.phase)
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
        issues=(*graph.issues, *program.issues, *trace.issues, *unnamed),
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
        from graphmem.report.notebook import training_html

        return training_html(self, training_profile(self))


def _unnamed(
    program: Program, settings: TrainingSettings, weight_decay: bool, batch: tuple[int, int] | None, peak: int,
    phase: str,
) -> tuple[Issue, ...]:  # fmt: skip
    """What a file that tells no Python names leaves open: they hold values in the forward pass, and never after it."""
    if tells_names(program):
        return ()
    if phase == "forward":
        return (UNNAMED,)
    trace = training_trace(program, settings, weight_decay, batch, holds=longest_holds)
    most = phase_peaks(trace, timeline(lifetimes(trace.schedule), without_workspace(trace)).live)["forward"]
    if most <= peak:
        return ()
    told = f"with every value held until its function returns, its peak, and the step's, would be {most:,} bytes"
    return (Issue("assumption", "the forward pass", f"the file tells no Python names; {told}"),)
