"""`graphmem analyze MODEL`: parse, call, print."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from graphmem.cli.options import inference_options, model_options, prune_option, session_options
from graphmem.cli.output import deliver, end, format_option, is_json, output_option, screen
from graphmem.ir.options import RUN_PRECISIONS
from graphmem.ir.runtime import SessionOptions


@click.command()
@model_options
@partial(inference_options, has_runtime=True)
@session_options
@click.option(
    "--precision",
    type=click.Choice(RUN_PRECISIONS),
    default="fp32",
    show_default=True,
    help="fp32: the file's own types.",
)
@prune_option
@click.option("--tensors", is_flag=True, help="Add every tensor's type (JSON).")
@click.option("--timeline", is_flag=True, help="Add the bytes alive at every step (JSON).")
@format_option
@output_option
def analyze(
    model: Path, session: SessionOptions, tensors: bool, timeline: bool, format_: str | None, output: Path | None,
    **asked: Any,
) -> None:  # fmt: skip
    """Peak activation memory of one forward run of MODEL, found without running it."""
    from graphmem.api.analyze import analyze as analyzed
    from graphmem.report.analysis import analysis_json, analysis_text

    is_runtime = asked["memory_model"] == "onnxruntime" or session != SessionOptions()
    found = analyzed(model, session=session if is_runtime else None, **asked)
    if is_json(format_, output) or tensors or timeline:
        deliver(analysis_json(found, tensors=tensors, timeline=timeline), output)
    else:
        deliver(analysis_text(found, **screen(output)), output)
    end(asked["strict"], found.is_complete)
