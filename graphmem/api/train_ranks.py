"""Path -> Ranked: the walk from a forward file to the memory of a training step that several devices share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from graphmem.ir.errors import OptionError
from graphmem.ir.keywords import RanksKeywords, asked, takes
from graphmem.ir.ranks import Ranked
from graphmem.reader.batch import batch_of, read_at_batch
from graphmem.schedule.eager import training_trace
from graphmem.schedule.parallel import parallel_of, ranked
from graphmem.schedule.programs import program_of
from graphmem.schedule.training_figures import followed, peak_of

if TYPE_CHECKING:
    from typing_extensions import Unpack


@takes(RanksKeywords)
def train_ranks(
    path: str | Path, parallel: str, dims: Mapping[str, int] | None = None, **options: Unpack[RanksKeywords]
) -> Ranked:
    """The memory of one PyTorch training step of the model at `path` on every rank, and the bytes that ranks send.

    Args:
        path: the forward graph, as for `train`.
        parallel: ddp:N, ddp:N:view, zero1:N, zero2:N, zero3:N (fsdp:N), tp:N, pipeline:N or pipeline:N:MICRO_BATCHES.
        dims: numbers for free dimensions, as for `train`.
        options: how to read the file, and the step. `batch` is the samples of one rank; of a pipeline and of tensor
            parallelism, of the whole step. The device cpu counts what gloo copies; NCCL, of cuda, makes no copies.

    Raises:
        ModelError: the file is not a readable, valid model.
        OptionError: an option fits neither the model nor the choices, or the model cannot be spread so.
    """
    reading, step = asked(RanksKeywords, dims, options)
    way = parallel_of(parallel)
    graph, fixed = read_at_batch(path, reading)
    program = program_of(graph, fixed, step)
    name = Path(path).stem
    with followed(f"the backward pass of '{name}'"):
        alone = peak_of(training_trace(program, step))
    if way.micro_batches > 1:
        whole = fixed[1] if fixed else batch_of(graph)
        if whole is None or whole % way.micro_batches:
            raise OptionError(
                f"a batch of {whole or 'unknown size'} cannot be cut into {way.micro_batches} equal micro-batches: "
                f"give --batch as a multiple of {way.micro_batches}, or another pipeline:N:MICRO_BATCHES"
            )
        part, fixed = read_at_batch(path, replace(reading, batch=whole // way.micro_batches))
        program = program_of(part, fixed, step)
    with followed(f"'{name}' under {parallel}"):
        found = ranked(program, step, way)
    return replace(found, name=name, single_peak=alone, issues=(*graph.issues, *found.issues))
