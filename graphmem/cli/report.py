"""`graphmem report MODEL -o FILE.html`: parse, call, write."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from graphmem.cli.options import deliver, inference_options, model_options, size_option
from graphmem.cli.step_options import Asked, step_options, trained


@click.command()
@model_options
@partial(inference_options, has_runtime=True)
@step_options
@size_option("--device-memory", "Draw a line at a device's memory, such as 11.5GiB; --device NAME draws its own.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The page to write.")
def report(
    model: Path,
    memory_model: str,
    order: str,
    step: Asked,
    device_memory: int | None,
    output: Path,
    **reading: Any,
) -> None:
    """One page that shows where the memory of MODEL goes; it opens offline, anywhere, for ever.

    With --train the training step is a second tab.
    """
    import graphmem
    from graphmem.cli.plan import arena_plan
    from graphmem.memory.profile import inference_profile
    from graphmem.memory.training_profile import training_profile
    from graphmem.report.html import report_html

    analysis = graphmem.analyze(model, memory_model=memory_model, order=order, **reading)
    profiles = [inference_profile(analysis, arena_plan(analysis))]
    training = trained(model, step.keywords, reading, step.device) if step.is_wanted else None
    if training is not None:
        profiles.append(training_profile(training))
    if device_memory is None and step.device is not None:
        device_memory = step.device.usable_bytes()
    deliver(report_html(analysis, profiles, device_memory, training), output, model)
    if reading["strict"] and not (analysis.is_complete and (training is None or training.is_complete)):
        raise click.exceptions.Exit(3)
