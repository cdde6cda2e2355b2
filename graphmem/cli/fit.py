"""`graphmem fit MODEL --device NAME|SIZE [--train]`: parse, call, print."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from graphmem.cli.options import given, model_options, step_options
from graphmem.cli.output import deliver, end, fail, format_option, is_json, output_option, screen
from graphmem.ir.keywords import FitKeywords, RunKeywords, step_names


@click.command()
@model_options
@click.option("--device", metavar="NAME|SIZE", help='Such as "rtx 3060" or 4GB; without, which devices fit.')
@click.option("--display", is_flag=True, help="A desktop runs on the device.")
@click.option("--count", type=click.IntRange(min=1), default=1, metavar="N", help="Devices that may share a step.")
@click.option("--train", is_flag=True, help="A training step; else a forward run. The options below describe it.")
@step_options(FitKeywords)
@click.option("--brief", is_flag=True, help="The verdict and the largest batch only.")
@click.option("--explain", is_flag=True, help="Add the code to paste for each option.")
@format_option
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
        options = _of_inference(options)
    from graphmem.fitting.fit import fit as fitted
    from graphmem.report.fit import fit_json, fit_text

    gc.set_threshold(20_000, 50, 1000)  # a search makes and drops many graphs: a sixth of its time went here
    with _progress() as progress:
        found = fitted(model, device, progress=progress, **options)
    text = fit_json(found) if is_json(format_, output) else fit_text(found, explain=explain, **screen(output))
    deliver(text, output, model)
    if not found.fits:
        fail()
    end(options["strict"], found.is_proved)


def _of_inference(options: dict[str, Any]) -> dict[str, Any]:
    """The options without those of a training step; UsageError when one of them was given."""
    of_training = [name for name in step_names(FitKeywords) if name not in step_names(RunKeywords)]
    for name in given(of_training):
        raise click.UsageError(f"--{name.replace('_', '-')} describes a training step; add --train")
    return {name: value for name, value in options.items() if name not in of_training}


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A line on stderr that says what is looked at; nothing where stderr is no terminal."""
    from rich.console import Console

    with Console(stderr=True).status("reading") as status:
        yield status.update
