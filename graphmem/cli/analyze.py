"""`graphmem analyze MODEL`: parse, call, print."""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from graphmem.cli.options import deliver, inference_options, model_options, output_option, prune_option, session_options
from graphmem.ir.runtime import SessionOptions

PRECISIONS = ("fp32", "fp16", "bf16", "int8", "int4", "fp8")


@click.command()
@model_options
@partial(inference_options, has_runtime=True)
@session_options
@click.option(
    "--precision", type=click.Choice(PRECISIONS), default="fp32", show_default=True, help="fp32: the file's own types."
)
@prune_option
@click.option("--tensors", is_flag=True, help="Add every tensor's type (JSON).")
@click.option("--timeline", is_flag=True, help="Add the bytes alive at every step (JSON).")
@click.option("--format", "format_", type=click.Choice(["table", "json"]), default=None, help="Default: table.")
@output_option
def analyze(
    model: Path,
    memory_model: str,
    order: str,
    session: SessionOptions,
    precision: str,
    prune: float,
    tensors: bool,
    timeline: bool,
    format_: str | None,
    output: Path | None,
    **reading: Any,
) -> None:
    """Peak activation memory of one forward run of MODEL, found without running it."""
    import graphmem
    from graphmem.report.analysis import analysis_json, analysis_text

    is_runtime = memory_model == "onnxruntime" or session != SessionOptions()
    analysis = graphmem.analyze(
        model, memory_model=memory_model, order=order, session=session if is_runtime else None, precision=precision,
        prune=prune,         **reading,
    )  # fmt: skip
    by_suffix = "json" if output is not None and output.suffix == ".json" else "table"
    if (format_ or by_suffix) == "json" or tensors or timeline:
        deliver(analysis_json(analysis, tensors=tensors, timeline=timeline), output)
    else:
        is_terminal = output is None and sys.stdout.isatty()
        deliver(analysis_text(analysis, width=shutil.get_terminal_size().columns, color=is_terminal), output)
    if reading["strict"] and not analysis.is_complete:
        raise click.exceptions.Exit(3)
