"""The records of ir/options, and what else several subcommands share -> click options, and what they parse to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import Field, dataclass, fields
from functools import wraps
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from graphmem.ir.keywords import TrainKeywords, step_names
from graphmem.ir.options import MEMORY_MODELS, ORDERS, Given, ReadingOptions, TrainingOptions, declared
from graphmem.ir.runtime import EXECUTION_ORDERS, OPTIMIZATIONS, SessionOptions
from graphmem.ir.types import BITS, TensorType

if TYPE_CHECKING:
    from graphmem.ir.device import Device

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


def parsed_branches(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """NAME=then or NAME=else, repeated -> {name: branch}."""
    branches = {}
    for value in values:
        name, _, branch = value.rpartition("=")
        if not name or branch not in ("then", "else"):
            raise click.BadParameter(f"'{value}' is neither NAME=then nor NAME=else", ctx, param)
        branches[name] = branch
    return branches


def parsed_inputs(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, Given]:
    """NAME=true, NAME=16000 or NAME=1,2,3, repeated -> {name: value}."""
    inputs: dict[str, Given] = {}
    for value in values:
        name, _, text = value.rpartition("=")
        numbers = [_parsed_number(part.strip().lower()) for part in text.split(",")]
        known = [number for number in numbers if number is not None]
        if not name or len(known) != len(numbers):
            raise click.BadParameter(f"'{value}' is not NAME=VALUE, such as use_cache=true or sr=16000", ctx, param)
        inputs[name] = known[0] if len(known) == 1 else known
    return inputs


def _parsed_number(text: str) -> bool | int | None:
    if text in ("true", "false"):
        return text == "true"
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else None


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


class Finite(click.FloatRange):
    """A number of a range; NaN compares with nothing, and no option means infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; a usage error for what is none."""
        found = super().convert(value, param, ctx)
        if not isfinite(found):
            self.fail(f"{value} is not a number.", param, ctx)
        return found


def option(row: Field[Any]) -> Callable[[Command], Command]:
    """The click option that a field of ReadingOptions or TrainingOptions is."""
    about = declared(row)
    flag = about.spelling or "--" + row.name.replace("_", "-")
    more: dict[str, Any] = {"help": about.line, "default": row.default, **_PARSED.get(row.name, {})}
    if row.default is False:
        return click.option(flag, row.name, is_flag=True, **{k: v for k, v in more.items() if k != "default"})
    if about.kind is bool:
        return click.option(f"{flag}/--no-{flag.removeprefix('--')}", row.name, **more)
    if about.choices:
        more |= {"type": click.Choice(about.choices), "show_default": bool(row.default)}
    elif about.kind in (int, float) and about.least is not None:
        kind = click.IntRange if about.kind is int else Finite
        more["type"] = kind(about.least, about.most, max_open=about.is_below)  # type: ignore[arg-type]
    elif about.kind is int:
        more["type"] = int
    if about.metavar:
        more["metavar"] = about.metavar
    if isinstance(row.default, tuple):
        more["multiple"] = True
    return click.option(flag, row.name, **more)


# What is parsed from a text that has a form of its own.
_PARSED: dict[str, dict[str, Any]] = {
    "dims": {"multiple": True, "default": (), "callback": parsed_dims},
    "trips": {"multiple": True, "default": (), "callback": parsed_dims},
    "branches": {"multiple": True, "default": (), "callback": parsed_branches},
    "inputs": {"multiple": True, "default": (), "callback": parsed_inputs},
    "shapes": {"type": click.Path(path_type=Path), "callback": parsed_shapes},
}


def options(rows: Iterable[Field[Any]]) -> Callable[[Command], Command]:
    """All of them, in their order, as keyword arguments of the command under their names."""
    made = [option(row) for row in rows]

    def decorate(command: Command) -> Command:
        for one in reversed(made):
            command = one(command)
        return command

    return decorate


reading_options = options(fields(ReadingOptions))
prune_option = options(row for row in fields(TrainingOptions) if row.name == "prune")


def model_options(command: Command, required: bool = True) -> Command:
    """MODEL, and how to read it; the command hands `**reading` on to its verb."""
    return click.argument("model", type=click.Path(path_type=Path), required=required)(reading_options(command))


def step_options(keywords: type) -> Callable[[Command], Command]:
    """The options of a training step that a verb of those keywords takes; --prune is set apart."""
    return options(row for row in fields(TrainingOptions) if row.name in _of_step(keywords))


def _of_step(keywords: type) -> list[str]:
    return [name for name in step_names(keywords) if name != "prune"]


@dataclass(frozen=True, slots=True)
class AskedStep:
    """What is said about training: the keywords of `train`, whether it is asked for, and the card if named."""

    keywords: dict[str, Any]
    is_wanted: bool
    device: Device | None


def asked_step(command: Callable[..., Any]) -> Callable[..., Any]:
    """--train, --device NAME and train's options; the command gets them as `step`, an AskedStep.

    An option of the step asks for training by itself, --device does not: inference runs on devices too.
    """
    names = _of_step(TrainKeywords)

    @wraps(command)
    def with_step(is_training: bool, **others: Any) -> Any:
        keywords = {name: others.pop(name) for name in names}
        is_given = bool(given([name for name in names if name != "device"]))
        found = None
        if keywords["device"] is None:
            keywords["device"] = "cpu"
        else:
            from graphmem.fitting.gates import training_device

            keywords["device"], found = training_device(keywords["device"])
        return command(step=AskedStep(keywords, is_training or is_given, found), **others)

    rows = {row.name: option(row) for row in fields(TrainingOptions)}
    rows["device"] = click.option(
        "--device",
        metavar="NAME",
        help="cpu, cuda, a size such as 12GB, or a card (`graphmem devices`) with its usable memory.",
    )
    decorated: Callable[..., Any] = with_step
    for name in reversed(names):
        decorated = rows[name](decorated)
    return click.option("--train", "is_training", is_flag=True, help="A training step; any option of one implies it.")(
        decorated
    )


def given(names: Iterable[str]) -> list[str]:
    """Of the options of the command that runs, those that were not left at their defaults."""
    ctx = click.get_current_context()
    return [name for name in names if ctx.get_parameter_source(name) not in (ParameterSource.DEFAULT, None)]


def inference_options(command: Command, has_runtime: bool = False) -> Command:
    """--memory-model and --order; with `has_runtime` ONNX Runtime's are choices too."""
    runtime = ["onnxruntime"] if has_runtime else []
    for option in (
        click.option(
            "--order",
            type=click.Choice([*ORDERS, *runtime]),
            default="file",
            show_default=True,
            help="Execution order: the file's, or one that lowers the peak.",
        ),
        click.option(
            "--memory-model",
            type=click.Choice([*MEMORY_MODELS, *runtime]),
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
        session = SessionOptions(ort_optimization, ort_order, ort_reuse, ort_pattern, ort_arena)
        return command(session=session, **others)

    for option in (
        click.option("--ort-arena/--no-ort-arena", default=True, help="enable_cpu_mem_arena"),
        click.option("--ort-pattern/--no-ort-pattern", default=True, help="enable_mem_pattern"),
        click.option("--ort-reuse/--no-ort-reuse", default=True, help="enable_mem_reuse"),
        click.option(
            "--ort-order",
            type=click.Choice(EXECUTION_ORDERS),
            default="default",
            show_default=True,
            help="execution_order",
        ),
        click.option(
            "--ort-optimization",
            type=click.Choice(OPTIMIZATIONS),
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
