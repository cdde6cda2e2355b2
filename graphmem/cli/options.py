"""Options that several subcommands share, and what they parse to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

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


def model_options(command: Command) -> Command:
    """MODEL, --dim, --batch and --strict."""
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
        click.argument("model", type=click.Path(path_type=Path)),
    ):
        command = option(command)
    return command


def session_options(command: Command) -> Command:
    """The session options of ONNX Runtime that change its memory."""
    for option in (
        click.option("--ort-arena/--no-ort-arena", default=True, help="enable_cpu_mem_arena"),
        click.option("--ort-pattern/--no-ort-pattern", default=True, help="enable_mem_pattern"),
        click.option("--ort-reuse/--no-ort-reuse", default=True, help="enable_mem_reuse"),
        click.option(
            "--ort-order",
            type=click.Choice(["default", "priority"]),
            default="default",
            show_default=True,
            help="execution_order",
        ),
        click.option(
            "--ort-optimization",
            type=click.Choice(["off", "basic", "extended", "all"]),
            default="all",
            show_default=True,
            help="graph_optimization_level",
        ),
    ):
        command = option(command)
    return command


def output_option(command: Command) -> Command:
    """-o FILE."""
    return click.option("-o", "--output", type=click.Path(path_type=Path), help="Write here instead of to stdout.")(
        command
    )


def deliver(text: str, output: Path | None) -> None:
    """Print a report, or write it to the file asked for."""
    if output is None:
        click.echo(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"'{output}' cannot be written: {error.strerror}") from error
