"""`graphmem optimize MODEL -o OUT.onnx`: write a copy that ONNX Runtime runs in less memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from graphmem.cli.options import model_options, session_options
from graphmem.cli.output import fail, file_option
from graphmem.ir.runtime import SessionOptions


@click.command()
@model_options
@session_options
@file_option("The copy to write.")
def optimize(
    model: Path,
    session: SessionOptions,
    output: Path,
    **reading: Any,
) -> None:
    """Write a copy of MODEL, reordered if that helps, and print the session options to use with it.

    Both models are run on the same random inputs. Exit code 1: their outputs differ, or with --strict the check could
    not be made.
    """
    from graphmem.ort.optimize import optimize as optimized
    from graphmem.report.verification import optimized_text

    found = optimized(model, output, session=session, **reading)
    if found.check is None:
        verdict = f"not compared: {found.why_unchecked}"
    elif found.check.same:
        verdict = "equal bit by bit"
    else:
        verdict = "equal within rounding" if found.check.close else "DIFFER"
    click.echo(optimized_text(str(found.path), found.is_reordered, found.code, found.now, found.then, verdict))
    if (found.check is None and reading["strict"]) or (found.check is not None and not found.check.close):
        fail()
