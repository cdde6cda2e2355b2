"""`graphmem train MODEL`: parse, call, print."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graphmem.cli.options import given, model_options, prune_option, step_options
from graphmem.cli.output import deliver, end, format_option, is_json, output_option, screen
from graphmem.ir.errors import OptionError
from graphmem.ir.keywords import RanksKeywords, TrainKeywords, step_names

if TYPE_CHECKING:
    from graphmem.ir.device import Device
    from graphmem.ir.training import Training


@click.command()
@model_options
@step_options(TrainKeywords)
@click.option(
    "--parallel", metavar="WAY:N",
    help="Spread the step over N devices: ddp:N, zero1:N, zero2:N, zero3:N (fsdp:N), tp:N, pipeline:N[:MICRO_BATCHES].",
)  # fmt: skip
@prune_option
@click.option("--timeline", is_flag=True, help="Add the bytes alive in every operator (JSON).")
@format_option
@output_option
def train(
    model: Path, parallel: str | None, timeline: bool, format_: str | None, output: Path | None, **asked: Any
) -> None:
    """Peak memory of one eager PyTorch training step of MODEL, from its forward graph alone."""
    if parallel is not None:
        _spread(parallel, model, timeline, format_, output, asked)
        return
    from graphmem.api.train import train as trained
    from graphmem.fitting.traffic import offload_text
    from graphmem.report.training import training_json, training_text

    found = trained(model, **asked)
    if is_json(format_, output) or timeline:
        deliver(training_json(found, timeline=timeline), output)
    else:
        text = training_text(found, **screen(output))
        deliver(text + (offload_text(found.traffic) if found.traffic is not None else ""), output)
    end(asked["strict"], found.is_complete)


def _spread(
    parallel: str, model: Path, timeline: bool, format_: str | None, output: Path | None, asked: dict[str, Any]
) -> None:
    """The same step on several devices: a peak for each, and what is sent."""
    from graphmem.api.train_ranks import train_ranks
    from graphmem.report.ranks import ranks_json, ranks_text

    alone = [name for name in step_names(TrainKeywords) if name not in step_names(RanksKeywords)]
    beside = [f"--{name}" for name in given(alone)] + (["--timeline"] if timeline else [])
    if beside:
        raise OptionError(f"--parallel is not combined with {', '.join(beside)} yet: give one of them")
    found = train_ranks(model, parallel, **{name: value for name, value in asked.items() if name not in alone})
    text = ranks_json(found) if is_json(format_, output) else ranks_text(found, **screen(output))
    deliver(text, output)
    end(asked["strict"], found.exactness == "exact")


def trained_on(model: Path, keywords: Mapping[str, Any], device: Device | None = None) -> Training:
    """The training step; on a card that is named with its own workspace of cuBLAS."""
    from graphmem.api.train import train as trained
    from graphmem.fitting.devices import accelerator
    from graphmem.memory.training_profile import with_cublas

    training = trained(model, **keywords)
    if device is None or training.details is None:
        return training
    return with_cublas(training, training.details, accelerator(device).cublas_workspace)
