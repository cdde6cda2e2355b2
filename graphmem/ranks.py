"""Path -> Ranked: the walk from a forward file to the memory of a training step that several devices share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from graphmem.autograd.losses import LOSSES
from graphmem.autograd.optimizers import FORMS, OPTIMIZERS
from graphmem.autograd.raising import Options, raised
from graphmem.autograd.run import MISFITS
from graphmem.ir.errors import ModelError, OptionError
from graphmem.ir.ranks import Ranked
from graphmem.ir.training import TrainingSettings
from graphmem.ir.types import TensorType
from graphmem.reader import read
from graphmem.schedule.parallel import parallel_of, ranked
from graphmem.training import DEVICES, _check, batch_of, read_with_batch, training


def train_ranks(
    path: str | Path,
    parallel: str,
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
    strict: bool = False,
    trips: Mapping[str, int] | None = None,
    shapes: Mapping[str, TensorType] | None = None,
) -> Ranked:
    """The memory of one PyTorch training step of the model at `path` on every rank, and the bytes that ranks send.

    Args:
        path: the forward graph, as for `train`.
        parallel: ddp:N, ddp:N:view, zero1:N, zero2:N, zero3:N (fsdp:N), tp:N, pipeline:N or pipeline:N:MICRO_BATCHES.
        dims: numbers for free dimensions, as for `train`.
        batch: samples of one rank; of a pipeline and of tensor parallelism, of the whole step.
        loss: as for `train`, like all further options.
        optimizer: a key of OPTIMIZERS.
        form: single, foreach or fused.
        weight_decay: True when the optimizer is given a weight decay.
        device: cpu counts what gloo copies; cuda leaves it out, as NCCL makes no copies.
        freeze: patterns of parameter names that are not trained.
        assume_bn: put batch norms back.
        dropout: put dropout back.
        attention_dropout: put dropout of attention weights back.
        strict: refuse a free dimension.
        trips: how often a loop runs.
        shapes: types of tensors that cannot be known.

    Raises:
        ModelError: the file is not a readable, valid model.
        OptionError: an option fits neither the model nor the choices, or the model cannot be spread so.
    """
    _check("loss", loss, LOSSES)
    _check("optimizer", optimizer, OPTIMIZERS)
    _check("device", device, DEVICES)
    form = form or ("foreach" if device == "cuda" else "single")
    _check("optimizer form", form, FORMS)
    way = parallel_of(parallel)
    reading = partial(read, path, dims, is_strict=strict, trips=trips, shapes=shapes)
    options = Options(assume_bn, dropout, attention_dropout)
    graph, fixed = read_with_batch(batch, reading)
    program = raised(graph, options)
    settings = TrainingSettings(loss, optimizer, form, device, tuple(freeze))
    name = Path(path).stem
    alone = training(graph, program, settings, name, weight_decay, fixed)
    if way.micro_batches > 1:
        whole = fixed[1] if fixed else batch_of(graph)
        if whole is None or whole % way.micro_batches:
            raise OptionError(
                f"a batch of {whole or 'unknown size'} cannot be cut into {way.micro_batches} equal micro-batches: "
                f"give --batch as a multiple of {way.micro_batches}, or another pipeline:N:MICRO_BATCHES"
            )
        part, fixed = read_with_batch(whole // way.micro_batches, reading)
        program = raised(part, options)
    try:
        found = ranked(program, settings, way, weight_decay, fixed)
    except MISFITS as error:  # a rule met shapes that it was not written for
        raise ModelError(
            f"'{name}' cannot be followed under {parallel} ({error}); please report it with the model's graph"
        ) from error
    return replace(found, name=name, single_peak=alone.peak, issues=(*graph.issues, *found.issues))
