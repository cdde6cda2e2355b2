"""`graphmem verify MODEL`: run it for real and print what was predicted beside what was measured."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from graphmem.cli.options import deliver, model_options, output_option, session_options


@click.command()
@model_options
@session_options
@click.option("--format", "format_", type=click.Choice(["table", "json"]), default=None, help="Default: table.")
@output_option
def verify(
    model: Path,
    dims: dict[str, int],
    batch: int | None,
    strict: bool,
    ort_optimization: str,
    ort_order: str,
    ort_reuse: bool,
    ort_pattern: bool,
    ort_arena: bool,
    format_: str | None,
    output: Path | None,
) -> None:
    """Run MODEL with ONNX Runtime, and compare what it allocates with what was predicted.

    The model runs on random inputs in a process of its own; absent weights are made up. Exit code 1: with --strict a
    figure was not predicted to the byte.
    """
    from graphmem.ir.runtime import SessionOptions
    from graphmem.report.verification import verification_json, verification_text
    from graphmem.runtime.verify import verify as verified

    asked = SessionOptions(ort_optimization, ort_order, ort_reuse, ort_pattern, ort_arena)
    found = verified(model, dims, batch=batch, session=asked)
    by_suffix = "json" if output is not None and output.suffix == ".json" else "table"
    if (format_ or by_suffix) == "json":
        deliver(verification_json(found), output)
    else:
        is_terminal = output is None and sys.stdout.isatty()
        deliver(verification_text(found, shutil.get_terminal_size().columns, is_terminal), output)
    if strict and not found.agrees:
        raise click.exceptions.Exit(1)
