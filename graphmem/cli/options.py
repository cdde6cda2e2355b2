"""Options that several subcommands share, and what they parse to."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from graphmem.ir.types import BITS, TensorType

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


def parsed_trips(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    """NAME=N, repeated -> {name: number}."""
    return parsed_dims(ctx, param, values)


def parsed_shapes(ctx: click.Context, param: click.Parameter, path: Path | None) -> dict[str, TensorType]:
    """A JSON file {"tensor": {"dtype": "float32", "shape": [1, 2]}} -> {tensor: type}."""
    import json

    if path is None:
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise click.BadParameter(f"'{path}' cannot be read: {error.strerror}", ctx, param) from error
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"'{path}' is not JSON: {error}", ctx, param) from error
    if not isinstance(entries, dict):
        raise click.BadParameter(f"'{path}' holds no object of tensors by name", ctx, param)
    return {name: _parsed_type(name, entry, ctx, param) for name, entry in entries.items()}


def _parsed_type(name: str, entry: Any, ctx: click.Context, param: click.Parameter) -> TensorType:
    dtype, shape = (entry.get("dtype"), entry.get("shape")) if isinstance(entry, dict) else (None, None)
    if dtype not in (*BITS, "string") or not isinstance(shape, list):
        raise click.BadParameter(f"'{name}' needs a dtype, such as float32, and a shape, such as [1, 2]", ctx, param)
    if any(type(size) is not int or not 0 <= size < 2**63 for size in shape):
        raise click.BadParameter(f"the shape of '{name}' is not a list of sizes", ctx, param)
    return TensorType(dtype, tuple(shape))


def model_options(command: Command, required: bool = True) -> Command:
    """MODEL, and how to read it."""
    return click.argument("model", type=click.Path(path_type=Path), required=required)(reading_options(command))


def reading_options(command: Command) -> Command:
    """How to read a model: --dim, --batch, --strict; for what the file cannot say --trip-count, --shapes-from.

    A command takes the latter as `**reading` and hands them on to `graphmem.analyze` and its like.
    """
    for option in (
        click.option(
            "--shapes-from",
            "shapes",
            type=click.Path(path_type=Path),
            callback=parsed_shapes,
            help='Types of tensors that cannot be known: JSON {"tensor": {"dtype": "float32", "shape": [1, 2]}}.',
        ),
        click.option(
            "--trip-count",
            "trips",
            metavar="NAME=N",
            multiple=True,
            callback=parsed_trips,
            help="How often a loop runs, by the name of its node or output.",
        ),
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


def inference_options(command: Command, has_runtime: bool = False) -> Command:
    """--memory-model and --order; with `has_runtime` ONNX Runtime's are choices too."""
    runtime = ["onnxruntime"] if has_runtime else []
    for option in (
        click.option(
            "--order",
            type=click.Choice(["file", "memory", *runtime]),
            default="file",
            show_default=True,
            help="Execution order: the file's, or one that lowers the peak.",
        ),
        click.option(
            "--memory-model",
            type=click.Choice(["plain", "views", "inplace", *runtime]),
            default="views",
            show_default=True,
            help="Which tensors share a buffer (docs/what-the-numbers-mean.md).",
        ),
    ):
        command = option(command)
    return command


def session_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The session options of ONNX Runtime that change its memory; the command gets them as `session`."""

    @wraps(command)
    def with_session(
        ort_optimization: str, ort_order: str, ort_reuse: bool, ort_pattern: bool, ort_arena: bool, **others: Any
    ) -> Any:
        from graphmem.ir.runtime import SessionOptions

        session = SessionOptions(ort_optimization, ort_order, ort_reuse, ort_pattern, ort_arena)
        return command(session=session, **others)

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
        with_session = option(with_session)
    return with_session


def parsed_size(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    """A size such as 4GiB or 12GB -> bytes."""
    from graphmem.fitting.devices import nbytes_of_text
    from graphmem.ir.errors import OptionError

    try:
        return None if text is None else nbytes_of_text(text)
    except OptionError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def size_option(name: str, help_: str) -> Callable[[Command], Command]:
    """An option that takes a size."""
    return click.option(name, metavar="SIZE", callback=parsed_size, help=help_)


def prune_option(command: Command) -> Command:
    """--prune SHARE."""
    return click.option(
        "--prune", type=click.FloatRange(0, 1, max_open=True), default=0.0, metavar="SHARE",
        help="Take out this share of channels where the graph allows, such as 0.3.",
    )(command)  # fmt: skip


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
    try:
        if model is not None and output.exists() and output.samefile(model):
            raise click.UsageError(f"'{output}' is the model itself, which is never changed; write to another file")
        output.write_bytes(content if isinstance(content, bytes) else (content + "\n").encode())
    except OSError as error:
        raise click.ClickException(f"'{output}' cannot be written: {error.strerror}") from error
