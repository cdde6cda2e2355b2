"""`graphmem diff OLD NEW`: parse, call, print."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from graphmem.cli.options import deliver, inference_options, output_option, reading_options


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@reading_options
@partial(inference_options, has_runtime=True)
@click.option("--format", "format_", type=click.Choice(["table", "json", "markdown"]), default="table")
@output_option
def diff(
    old: Path,
    new: Path,
    memory_model: str,
    order: str,
    format_: str,
    output: Path | None,
    **reading: Any,
) -> None:
    """What moved from OLD to NEW: peak and weights, then modules and tensors, in all and at the peak."""
    import graphmem
    from graphmem.memory.compare import compare
    from graphmem.report.comparison import COMPARISON_FORMATS

    before, after = (graphmem.analyze(path, memory_model=memory_model, order=order, **reading) for path in (old, new))
    deliver(COMPARISON_FORMATS[format_](compare(before, after)), output, new)
    if reading["strict"] and not (before.is_complete and after.is_complete):
        raise click.exceptions.Exit(3)
