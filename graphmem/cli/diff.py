"""`graphmem diff OLD NEW`: parse, call, print."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import click

from graphmem.cli.options import deliver, inference_options, output_option, prune_option, reading_options
from graphmem.cli.step_options import Asked, step_options, trained


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@reading_options
@partial(inference_options, has_runtime=True)
@prune_option
@step_options
@click.option("--format", "format_", type=click.Choice(["table", "json", "markdown"]), default="table")
@output_option
def diff(
    old: Path,
    new: Path,
    memory_model: str,
    order: str,
    step: Asked,
    format_: str,
    output: Path | None,
    **reading: Any,
) -> None:
    """What moved from OLD to NEW: peak and weights, then modules and tensors, in all and at the peak.

    With --train, or any option of a training step, what moved in the step.
    """
    import graphmem
    from graphmem.memory.comparison import compare, compare_training
    from graphmem.report.comparison import COMPARISON_FORMATS

    if step.is_wanted:
        steps = [trained(path, step.keywords, reading, step.device) for path in (old, new)]
        found, is_complete = compare_training(*steps), all(one.is_complete for one in steps)
    else:
        runs = [graphmem.analyze(path, memory_model=memory_model, order=order, **reading) for path in (old, new)]
        found, is_complete = compare(*runs), all(one.is_complete for one in runs)
    wide = {"width": shutil.get_terminal_size().columns} if format_ == "table" else {}
    deliver(COMPARISON_FORMATS[format_](found, **wide), output, new)
    if reading["strict"] and not is_complete:
        raise click.exceptions.Exit(3)
