"""`graphmem report MODEL -o FILE.html`: parse, call, write."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graphmem.cli.options import (
    AskedStep,
    Finite,
    asked_step,
    inference_options,
    model_options,
    prune_option,
    size_option,
)
from graphmem.cli.output import deliver, end, file_option
from graphmem.cli.train import trained_on
from graphmem.ir.keywords import FrontierKeywords

if TYPE_CHECKING:
    from graphmem.report.page.curve import Curve


@click.command()
@model_options
@partial(inference_options, has_runtime=True)
@prune_option
@asked_step
@size_option("--device-memory", "Draw a line at a device's memory, such as 11.5GiB; --device NAME draws its own.")
@click.option("--frontier", is_flag=True, help="Add what checkpointing can do for the step; implies --train.")
@click.option(
    "--timeout",
    type=Finite(0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="S",
    help="Seconds to look for the frontier.",
)
@file_option("The page to write.")
def report(
    model: Path,
    memory_model: str,
    order: str,
    step: AskedStep,
    device_memory: int | None,
    frontier: bool,
    timeout: float,
    output: Path,
    **reading: Any,
) -> None:
    """One page that shows where the memory of MODEL goes; it opens offline, anywhere, for ever.

    With --train the training step is a second tab; with --frontier it shows what checkpointing can do, and marks the
    cheapest plan whose tensors fit the device.
    """
    from graphmem.api.analyze import analyze
    from graphmem.cli.plan import arena_plan
    from graphmem.memory.profile import inference_profile
    from graphmem.memory.training_profile import training_profile
    from graphmem.report.page.curve import cheapest_within
    from graphmem.report.page.page import report_html

    analysis = analyze(model, memory_model=memory_model, order=order, **reading)
    profiles = [inference_profile(analysis, arena_plan(analysis))]
    training = trained_on(model, {**step.keywords, **reading}, step.device) if step.is_wanted or frontier else None
    if training is not None:
        profiles.append(training_profile(training))
    if device_memory is None and step.device is not None:
        device_memory = step.device.usable_bytes()
    curve = _curve(model, step, reading, timeout) if frontier else None
    chosen = None if curve is None else cheapest_within(curve.spots, device_memory)
    deliver(report_html(analysis, profiles, device_memory, training, curve, chosen), output, model)
    end(reading["strict"], (analysis.is_complete and (training is None or training.is_complete)))


def _curve(model: Path, step: AskedStep, reading: Mapping[str, Any], timeout: float) -> Curve:
    """What checkpointing can do for the step, whatever --checkpoint asks for."""
    from graphmem.api.checkpoint_frontier import checkpoint_frontier
    from graphmem.report.page.curve import curve_of_model

    taken = {"dims", *FrontierKeywords.__annotations__}
    asked = {**step.keywords, **reading}
    unlike = [
        f"--{name}"
        for name, value in asked.items()
        if name not in taken and name != "checkpoint" and value not in (0, 1, "", ())
    ]
    if unlike:
        raise click.UsageError(f"the frontier is that of a plain step; give --frontier or {', '.join(unlike)}")
    keywords = {name: value for name, value in asked.items() if name in taken}
    return curve_of_model(checkpoint_frontier(model, timeout=timeout, **keywords))
