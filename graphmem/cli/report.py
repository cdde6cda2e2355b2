"""`graphmem report MODEL -o FILE.html`: parse, call, write."""

from __future__ import annotations

from pathlib import Path

import click

from graphmem.cli.options import deliver, model_options, run_options, size_option


@click.command()
@model_options
@run_options
@size_option("--device-memory", "Draw a line at a device's memory, such as 11.5GiB.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The page to write.")
def report(
    model: Path,
    dims: dict[str, int],
    batch: int | None,
    strict: bool,
    memory_model: str,
    order: str,
    device_memory: int | None,
    output: Path,
) -> None:
    """One page that shows where the memory of MODEL goes; it opens offline, anywhere, for ever."""
    import graphmem
    from graphmem.memory.profile import inference_profile
    from graphmem.report.html import report_html

    analysis = graphmem.analyze(model, dims, batch=batch, memory_model=memory_model, order=order, strict=strict)
    deliver(report_html(analysis, [inference_profile(analysis)], device_memory), output, model)
    if strict and not analysis.is_complete:
        raise click.exceptions.Exit(3)
