"""`graphmem verify MODEL`: run it for real and print what was predicted beside what was measured."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from graphmem.cli.options import deliver, model_options, output_option, session_options
from graphmem.ir.runtime import SessionOptions


@click.command()
@model_options
@session_options
@click.option("--format", "format_", type=click.Choice(["table", "json"]), default=None, help="Default: table.")
@output_option
def verify(
    model: Path,
    session: SessionOptions,
    format_: str | None,
    output: Path | None,
    **reading: Any,
) -> None:
    """Run MODEL with ONNX Runtime, and compare what it allocates with what was predicted.

    The model runs on random inputs in a process of its own; absent weights are made up. Exit code 1: with --strict a
    figure was not predicted to the byte.
    """
    from graphmem.ort.verify import verify as verified
    from graphmem.report.verification import verification_json, verification_text

    found = verified(model, session=session, **reading)
    by_suffix = "json" if output is not None and output.suffix == ".json" else "table"
    if (format_ or by_suffix) == "json":
        deliver(verification_json(found), output)
    else:
        is_terminal = output is None and sys.stdout.isatty()
        deliver(verification_text(found, shutil.get_terminal_size().columns, is_terminal), output)
    if reading["strict"] and not found.agrees:
        raise click.exceptions.Exit(1)
