"""Path -> Ranked: the walk from a forward file to the memory of a training step that several devices share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from graphmem.ir.errors import OptionError
from graphmem.ir.ranks import Ranked
from graphmem.ir.types import TensorType
from graphmem.raising import Options, raised
from graphmem.reader import read
from graphmem.reader.batch import batch_of, read_with_batch
from graphmem.schedule.eager import training_trace
from graphmem.schedule.parallel import parallel_of, ranked
from graphmem.schedule.training_figures import checked_settings, followed, peak_of


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
    settings = checked_settings(loss, optimizer, form, device, freeze, "fp32")
    way = parallel_of(parallel)
    reading = partial(read, path, dims, is_strict=strict, trips=trips, shapes=shapes)
    options = Options(assume_bn, dropout, attention_dropout)
    graph, fixed = read_with_batch(batch, reading)
    program = raised(graph, options)
    name = Path(path).stem
    with followed(f"the backward pass of '{name}'"):
        alone = peak_of(training_trace(program, settings, weight_decay, fixed))
    if way.micro_batches > 1:
        whole = fixed[1] if fixed else batch_of(graph)
        if whole is None or whole % way.micro_batches:
            raise OptionError(
                f"a batch of {whole or 'unknown size'} cannot be cut into {way.micro_batches} equal micro-batches: "
                f"give --batch as a multiple of {way.micro_batches}, or another pipeline:N:MICRO_BATCHES"
            )
        part, fixed = read_with_batch(whole // way.micro_batches, reading)
        program = raised(part, options)
    with followed(f"'{name}' under {parallel}"):
        found = ranked(program, settings, way, weight_decay, fixed)
    return replace(found, name=name, single_peak=alone, issues=(*graph.issues, *found.issues))
