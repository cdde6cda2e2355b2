"""`graphmem verify MODEL`: run it for real and print what was predicted beside what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from graphmem.cli.options import model_options, session_options
from graphmem.cli.output import deliver, fail, format_option, is_json, output_option, screen
from graphmem.ir.runtime import SessionOptions


@click.command()
@model_options
@session_options
@format_option
@output_option
def verify(model: Path, session: SessionOptions, format_: str | None, output: Path | None, **reading: Any) -> None:
    """Run MODEL with ONNX Runtime, and compare what it allocates with what was predicted.

    The model runs on random inputs in a process of its own; absent weights are made up. Exit code 1: with --strict a
    figure was not predicted to the byte.
    """
    from graphmem.ort.verify import verify as verified
    from graphmem.report.verification import verification_json, verification_text

    found = verified(model, session=session, **reading)
    text = verification_json(found) if is_json(format_, output) else verification_text(found, **screen(output))
    deliver(text, output)
    if reading["strict"] and not found.agrees:
        fail()
