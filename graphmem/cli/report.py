"""`graphmem report MODEL -o FILE.html`: parse, call, write."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from graphmem.cli.options import deliver, inference_options, model_options, size_option


@click.command()
@model_options
@partial(inference_options, has_runtime=True)
@size_option("--device-memory", "Draw a line at a device's memory, such as 11.5GiB.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The page to write.")
def report(
    model: Path,
    memory_model: str,
    order: str,
    device_memory: int | None,
    output: Path,
    **reading: Any,
) -> None:
    """One page that shows where the memory of MODEL goes; it opens offline, anywhere, for ever."""
    import graphmem
    from graphmem.cli.plan import arena_plan
    from graphmem.memory.profile import inference_profile
    from graphmem.report.html import report_html

    analysis = graphmem.analyze(model, memory_model=memory_model, order=order, **reading)
    profile = inference_profile(analysis, arena_plan(analysis))
    deliver(report_html(analysis, [profile], device_memory), output, model)
    if reading["strict"] and not analysis.is_complete:
        raise click.exceptions.Exit(3)
