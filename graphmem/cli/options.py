"""Options that several subcommands share, and what they parse to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from graphmem.fit.sizes import nbytes_of_text
from graphmem.ir.errors import OptionError

Command = TypeVar("Command", bound=Callable[..., Any])


def parsed_dims(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    """NAME=N, repeated -> {name: number}; split at the last "=", so that names may hold one."""
    dims = {}
    for value in values:
        name, equals, number = value.rpartition("=")
        if not equals or not name or not number.isdecimal():
            raise click.BadParameter(f"'{value}' is not NAME=N, such as batch=8 or input_ids:0=8", ctx, param)
        dims[name] = int(number)
    return dims


def parsed_size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A size such as 512MiB, 4GB (10^9) or 4096 -> bytes."""
    try:
        return None if value is None else nbytes_of_text(value)
    except OptionError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def size_option(name: str, help_: str) -> Callable[[Command], Command]:
    """An option that takes a size."""
    return click.option(name, metavar="SIZE", callback=parsed_size, help=help_)


def model_options(command: Command) -> Command:
    """MODEL, --dim, --batch and --strict."""
    return click.argument("model", type=click.Path(path_type=Path))(dim_options(command))


def dim_options(command: Command) -> Command:
    """--dim, --batch and --strict."""
    for option in (
        click.option("--strict", is_flag=True, help="Refuse free dimensions; exit 3 when a figure is incomplete."),
        click.option("--batch", type=int, metavar="N", help="Bind the free leading dimension of the inputs."),
        click.option(
            "--dim",
            "dims",
            metavar="NAME=N",
            multiple=True,
            callback=parsed_dims,
            help="Bind a free dimension, by name or as INPUT:AXIS=N.",
        ),
    ):
        command = option(command)
    return command


def run_options(command: Command) -> Command:
    """--memory-model and --order."""
    for option in (
        click.option(
            "--order",
            type=click.Choice(["file", "memory"]),
            default="file",
            show_default=True,
            help="Execution order: the file's, or one that lowers the peak.",
        ),
        click.option(
            "--memory-model",
            type=click.Choice(["plain", "views", "inplace"]),
            default="views",
            show_default=True,
            help="Which tensors share a buffer (docs/what-the-numbers-mean.md).",
        ),
    ):
        command = option(command)
    return command


def output_option(command: Command) -> Command:
    """-o FILE."""
    return click.option("-o", "--output", type=click.Path(path_type=Path), help="Write here instead of to stdout.")(
        command
    )


def deliver(content: str | bytes, output: Path | None, model: Path | None = None) -> None:
    """Print a report, or write it to the file asked for; never over the `model` that it is about."""
    if output is None:
        click.echo(content)
        return
    if model is not None and output.exists() and model.exists() and output.samefile(model):
        raise click.UsageError(f"'{output}' is the model itself, which is never changed; write to another file")
    try:
        output.write_bytes(content if isinstance(content, bytes) else (content.rstrip("\n") + "\n").encode())
    except OSError as error:
        raise click.ClickException(f"'{output}' cannot be written: {error.strerror}") from error
