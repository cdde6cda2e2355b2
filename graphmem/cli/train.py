"""`graphmem train MODEL`: parse, call, print."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from graphmem.cli.options import deliver, model_options, output_option, prune_option
from graphmem.cli.training_options import training_options


@click.command()
@model_options
@training_options()
@click.option(
    "--parallel", metavar="WAY:N",
    help="Spread the step over N devices: ddp:N, zero1:N, zero2:N, zero3:N (fsdp:N), tp:N, pipeline:N[:MICRO_BATCHES].",
)  # fmt: skip
@prune_option
@click.option("--timeline", is_flag=True, help="Add the bytes alive in every operator (JSON).")
@click.option("--format", "format_", type=click.Choice(["table", "json"]), default=None, help="Default: table.")
@output_option
def train(
    model: Path,
    loss: str,
    optimizer: str,
    form: str | None,
    weight_decay: bool,
    device: str,
    freeze: tuple[str, ...],
    assume_bn: bool,
    dropout: float | None,
    attention_dropout: float | None,
    inplace: tuple[str, ...],
    precision: str,
    accumulate: int,
    checkpoint: tuple[str, ...],
    parallel: str | None,
    lora: str,
    prune: float,
    offload: tuple[str, ...],
    timeline: bool,
    format_: str | None,
    output: Path | None,
    **reading: Any,
) -> None:
    """Peak memory of one eager PyTorch training step of MODEL, from its forward graph alone."""
    import graphmem

    if parallel is not None:
        _spread(parallel, model, format_, output, timeline)
        return
    from graphmem.fitting.traffic import offload_text
    from graphmem.report.training import training_json, training_text

    found = graphmem.train(
        model, loss=loss, optimizer=optimizer, form=form, weight_decay=weight_decay, device=device,
        freeze=freeze, assume_bn=assume_bn, dropout=dropout, attention_dropout=attention_dropout,
        inplace=inplace, precision=precision, accumulate=accumulate, checkpoint=checkpoint, lora=lora, prune=prune,
        offload=offload, **reading,
    )  # fmt: skip
    by_suffix = "json" if output is not None and output.suffix == ".json" else "table"
    if (format_ or by_suffix) == "json" or timeline:
        deliver(training_json(found, timeline=timeline), output)
    else:
        is_terminal = output is None and sys.stdout.isatty()
        text = training_text(found, width=shutil.get_terminal_size().columns, color=is_terminal)
        deliver(text + (offload_text(found.traffic) if found.traffic is not None else ""), output)
    if reading["strict"] and not found.is_complete:
        raise click.exceptions.Exit(3)


ALONE = (
    "precision",
    "accumulate",
    "checkpoint",
    "lora",
    "prune",
    "offload",
)  # options of `train` that are for one device


def _spread(parallel: str, model: Path, format_: str | None, output: Path | None, timeline: bool) -> None:
    """The same step on several devices: a peak for each, and what is sent."""
    import graphmem
    from graphmem.ir.errors import OptionError
    from graphmem.report.ranks import ranks_json, ranks_text

    context = click.get_current_context()
    given = {n for n in context.params if context.get_parameter_source(n) is click.core.ParameterSource.COMMANDLINE}
    beside = [f"--{name}" for name in ALONE if name in given] + (["--timeline"] if timeline else [])
    if beside:
        raise OptionError(f"--parallel is not combined with {', '.join(beside)} yet: give one of them")
    left = {"model", "parallel", "format_", "output", "timeline", *ALONE}
    found = graphmem.train_ranks(model, parallel, **{n: v for n, v in context.params.items() if n not in left})
    by_suffix = "json" if output is not None and output.suffix == ".json" else "table"
    if (format_ or by_suffix) == "json":
        deliver(ranks_json(found), output)
    else:
        is_terminal = output is None and sys.stdout.isatty()
        deliver(ranks_text(found, width=shutil.get_terminal_size().columns, color=is_terminal), output)
    if context.params["strict"] and found.exactness != "exact":
        raise click.exceptions.Exit(3)
