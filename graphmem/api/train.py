"""Path -> Training: the walk from a forward file to the memory of a training step, and its public API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from graphmem.ir.training import (
    Training,
)
from graphmem.ir.types import TensorType
from graphmem.passes.pruning import pruned
from graphmem.raising import OPTIONAL, Options, raised
from graphmem.reader import read
from graphmem.reader.batch import read_with_batch
from graphmem.schedule.eager import training_trace
from graphmem.schedule.training_figures import (
    checked_settings,
    followed,
    peak_of,
    training,
)


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
