"""What a command found -> stdout or a file: the choice of a format, the width of a screen, the exit code."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from graphmem.ir.quoting import sentence

Command = TypeVar("Command", bound=Callable[..., Any])

format_option = click.option(
    "--format", "format_", type=click.Choice(["table", "json"]), default=None, help="Default: table."
)
output_option = click.option("-o", "--output", type=click.Path(path_type=Path), help="Write here instead of to stdout.")


def file_option(what: str) -> Callable[[Command], Command]:
    """-o FILE where there must be one."""
    return click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help=what)


def is_json(format_: str | None, output: Path | None) -> bool:
    """True for --format json, and without one for a file of that suffix."""
    return format_ == "json" or (format_ is None and output is not None and output.suffix == ".json")


def columns() -> int:
    """How wide the terminal is."""
    return shutil.get_terminal_size().columns


def screen(output: Path | None) -> dict[str, Any]:
    """What a text is told of where it goes: `width`, and `color` where that is a terminal."""
    return {"width": columns(), "color": output is None and sys.stdout.isatty()}


def deliver(content: str | bytes, output: Path | None, model: Path | None = None) -> None:
    """Print a report, or write it to the file asked for; never over the `model` that it is about."""
    if output is None:
        click.echo(content)
        return
    try:
        if model is not None and output.exists() and output.samefile(model):
            raise click.UsageError(f"'{output}' is the model itself, which is never changed; write to another file")
        output.write_bytes(content if isinstance(content, bytes) else (content + "\n").encode())
    except OSError as error:
        raise click.ClickException(f"'{output}' cannot be written: {error.strerror}") from error


def fail() -> NoReturn:
    """End with 1: a gate failed, or it does not fit."""
    raise click.exceptions.Exit(1)


def refuse(text: str) -> NoReturn:
    """The same, and say why on stderr."""
    click.echo(f"graphmem: {sentence(text)}", err=True)
    fail()


def end(strict: bool, is_complete: bool) -> None:
    """End with 3 where the figures are incomplete and --strict was given."""
    if strict and not is_complete:
        raise click.exceptions.Exit(3)
