"""`graphmem fit MODEL --device NAME|SIZE [--train]`: parse, call, print."""

from __future__ import annotations

import gc
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from graphmem.cli.options import deliver, model_options, output_option
from graphmem.cli.training_options import training_options

# Options that describe a training step; without --train they would be ignored, so they are refused.
_OF_TRAINING = (
    "loss", "optimizer", "form", "weight_decay", "freeze", "dropout", "attention_dropout", "inplace", "accumulate",
    "checkpoint", "lora", "offload",
)  # fmt: skip


@click.command()
@model_options
@click.option("--device", metavar="NAME|SIZE", help='Such as "rtx 3060" or 4GB; without, which devices fit.')
@click.option("--display", is_flag=True, help="A desktop runs on the device.")
@click.option("--count", type=click.IntRange(min=1), default=1, metavar="N", help="Devices that may share a step.")
@click.option("--train", is_flag=True, help="A training step; else a forward run. The options below describe it.")
@training_options("device")
@click.option("--brief", is_flag=True, help="The verdict and the largest batch only.")
@click.option("--explain", is_flag=True, help="Add the code to paste for each option.")
@click.option("--format", "format_", type=click.Choice(["table", "json"]), default=None, help="Default: table.")
@output_option
def fit(
    model: Path,
    device: str | None,
    explain: bool,
    format_: str | None,
    output: Path | None,
    **options: Any,
) -> None:
    """Whether MODEL fits a device, up to which batch, and what else would fit, cheapest first.

    Exit codes: 0 it fits; 1 it does not; 3 with --strict where the figures do not prove the answer.
    """
    if not options["train"]:
        options = _of_inference(click.get_current_context(), options)
    import graphmem
    from graphmem.report.fit import fit_json, fit_text

    gc.set_threshold(20_000, 50, 1000)  # a search makes and drops many graphs: a sixth of its time went here
    with _progress() as progress:
        found = graphmem.fit(model, device, progress=progress, **options)
    by_suffix = "json" if output is not None and output.suffix == ".json" else "table"
    if (format_ or by_suffix) == "json":
        deliver(fit_json(found), output, model)
    else:
        is_terminal = output is None and sys.stdout.isatty()
        columns = shutil.get_terminal_size().columns
        deliver(fit_text(found, width=columns, color=is_terminal, explain=explain), output, model)
    if not found.fits:
        raise click.exceptions.Exit(1)
    if options["strict"] and not found.is_proved:
        raise click.exceptions.Exit(3)


def _of_inference(ctx: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """The options without those of a training step; UsageError when one of them was given."""
    for name in _OF_TRAINING:
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise click.UsageError(f"--{name.replace('_', '-')} describes a training step; add --train")
    return {name: value for name, value in options.items() if name not in _OF_TRAINING}


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A line on stderr that says what is looked at; nothing where stderr is no terminal."""
    from rich.console import Console

    with Console(stderr=True).status("reading") as status:
        yield status.update
