"""Path -> Training: the walk from a forward file to the memory of a training step, and its public API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from graphmem.ir.keywords import TrainKeywords, asked, takes
from graphmem.ir.training import Training
from graphmem.passes.pruning import pruned
from graphmem.raising import OPTIONAL
from graphmem.reader.batch import read_at_batch
from graphmem.schedule.eager import training_trace
from graphmem.schedule.programs import program_of
from graphmem.schedule.questions import interval
from graphmem.schedule.training_figures import followed, peak_of, training

if TYPE_CHECKING:
    from typing_extensions import Unpack


@takes(TrainKeywords)
def train(path: str | Path, dims: Mapping[str, int] | None = None, **options: Unpack[TrainKeywords]) -> Training:
    """The memory of one eager PyTorch training step of the model in the ONNX file at `path`.

    Args:
        path: the forward graph, as any PyTorch exporter writes it; weights may be absent.
        dims: numbers for free dimensions, as for `analyze`.
        options: how to read the file, and the step.

    Raises:
        ModelError: the file is not a readable, valid model.
        OptionError: an option fits neither the model nor the choices.
    """
    reading, step = asked(TrainKeywords, dims, options)
    graph, fixed = read_at_batch(path, reading)
    graph = pruned(graph, step.prune)
    program = program_of(graph, fixed, step)
    found = training(graph, program, step, Path(path).stem)
    with followed(f"the other steps of '{Path(path).stem}'"):
        found = replace(found, interval=interval(graph, step, program, found.peak))
    kinds = {i.what for i in program.inferred}
    effects = {}
    for kind in OPTIONAL:
        if kind in kinds:
            other = program_of(graph, fixed, step, kind)
            with followed(f"the step without '{kind}'"):
                effects[kind] = found.peak - peak_of(training_trace(other, step))
    return replace(found, inferred=tuple(replace(i, nbytes=effects.get(i.what)) for i in found.inferred))
