"""`graphmem diff OLD NEW`: parse, call, print."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from graphmem.cli.options import AskedStep, asked_step, inference_options, prune_option, reading_options
from graphmem.cli.output import columns, deliver, end, output_option
from graphmem.cli.train import trained_on


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@reading_options
@partial(inference_options, has_runtime=True)
@prune_option
@asked_step
@click.option("--format", "format_", type=click.Choice(["table", "json", "markdown"]), default="table")
@output_option
def diff(
    old: Path,
    new: Path,
    memory_model: str,
    order: str,
    step: AskedStep,
    format_: str,
    output: Path | None,
    **reading: Any,
) -> None:
    """What moved from OLD to NEW: peak and weights, then modules and tensors, in all and at the peak.

    With --train, or any option of a training step, what moved in the step.
    """
    from graphmem.api.analyze import analyze
    from graphmem.memory.comparison import compare, compare_training
    from graphmem.report.comparison import COMPARISON_FORMATS

    if step.is_wanted:
        steps = [trained_on(path, {**step.keywords, **reading}, step.device) for path in (old, new)]
        found, is_complete = compare_training(*steps), all(one.is_complete for one in steps)
    else:
        runs = [analyze(path, memory_model=memory_model, order=order, **reading) for path in (old, new)]
        found, is_complete = compare(*runs), all(one.is_complete for one in runs)
    wide = {"width": columns()} if format_ == "table" else {}
    deliver(COMPARISON_FORMATS[format_](found, **wide), output, new)
    end(reading["strict"], is_complete)
