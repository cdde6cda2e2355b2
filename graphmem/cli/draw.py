"""`graphmem draw MODEL -o FILE.svg`: parse, call, write."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from graphmem.cli.options import AskedStep, asked_step, inference_options, model_options, prune_option
from graphmem.cli.output import deliver, file_option
from graphmem.cli.train import trained_on


@click.command()
@model_options
@partial(inference_options, has_runtime=True)
@prune_option
@asked_step
@click.option(
    "--around",
    type=click.Choice(["peak", "all"]),
    default=None,
    help="Draw the steps around the peak (default), or all (default with --level).",
)
@click.option(
    "--level",
    type=click.Choice(["op", "chain", "block", "scope"]),
    default=None,
    help="A box is: one operation (default), a chain of them, a block between single-tensor cuts, a module.",
)
@file_option("FILE.svg, FILE.png or FILE.gv.")
def draw(
    model: Path,
    memory_model: str,
    order: str,
    step: AskedStep,
    around: str | None,
    level: str | None,
    output: Path,
    **reading: Any,
) -> None:
    """Draw MODEL: boxes by the bytes alive, arrows by the bytes they carry, those alive at the peak in one colour.

    With --train the operators of a training step; what checkpointing keeps and computes again is marked.
    """
    from graphmem.api.analyze import analyze
    from graphmem.memory.profile import inference_profile
    from graphmem.memory.training_profile import training_profile
    from graphmem.report.drawing.dot import FORMATS, drawn
    from graphmem.report.drawing.picture import MARKS, has_checkpoints, peak_title, picture
    from graphmem.report.units import SIGNS

    format_ = output.suffix.lower().lstrip(".")
    if format_ not in FORMATS:
        raise click.UsageError(f"'{output}' does not end in .svg, .png or .gv")
    if step.is_wanted:
        training = trained_on(model, {**step.keywords, **reading}, step.device)
        profile, exactness, name = training_profile(training), training.exactness, f"{training.model.name} training"
    else:
        analysis = analyze(model, memory_model=memory_model, order=order, **reading)
        profile, exactness, name = inference_profile(analysis), analysis.exactness, analysis.model.name
    is_around = around == "peak" or (around is None and level is None)
    title = f"{name}: {peak_title(profile, SIGNS[exactness])}"
    title += f"; {MARKS}" if has_checkpoints(profile) else ""
    made = picture(profile, title, level or "op", is_around, is_laid_out=format_ != "gv")
    deliver(drawn(made, format_), output, model)
