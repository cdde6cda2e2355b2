"""The options of a training step, as `graphmem train` has them, for the other commands that can look at one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from graphmem.cli.train import train

if TYPE_CHECKING:
    from graphmem.ir.device import Device
    from graphmem.ir.training import Training

# What `train` takes beside the step itself: the model, how to read and change it, and how to print.
_OTHERS = (
    "model",
    "dims",
    "batch",
    "strict",
    "trips",
    "shapes",
    "prune",
    "parallel",
    "timeline",
    "format_",
    "output",
    "help",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is said about training: the keywords of `graphmem.train`, whether it is asked for, and the card if named."""

    keywords: dict[str, Any]
    is_wanted: bool
    device: Device | None


def trained(
    model: Path, keywords: Mapping[str, Any], reading: Mapping[str, Any], device: Device | None = None
) -> Training:
    """The training step; on a card that is named with its own workspace of cuBLAS."""
    import graphmem
    from graphmem.fitting.devices import accelerator
    from graphmem.memory.training_profile import with_cublas

    training = graphmem.train(model, **keywords, **reading)
    if device is None or training.details is None:
        return training
    return with_cublas(training, training.details, accelerator(device).cublas_workspace)


def step_names() -> tuple[str, ...]:
    """The keywords of `graphmem.train` that are options of the step."""
    return tuple(p.name for p in train.params if isinstance(p, click.Option) and p.name and p.name not in _OTHERS)


def step_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--train, --device NAME and train's options; the command gets them as `step`, an Asked.

    An option of the step asks for training by itself, --device does not: inference runs on devices too.
    """

    @wraps(command)
    def with_step(is_training: bool, **others: Any) -> Any:
        ctx = click.get_current_context()
        keywords = {name: others.pop(name) for name in step_names()}
        given = [
            name
            for name in keywords
            if name != "device" and ctx.get_parameter_source(name) not in (ParameterSource.DEFAULT, None)
        ]
        found = None
        if keywords["device"] is None:
            keywords["device"] = "cpu"
        else:
            from graphmem.fitting.gates import training_device

            keywords["device"], found = training_device(keywords["device"])
        return command(step=Asked(keywords, is_training or bool(given), found), **others)

    option_of = {p.name: p for p in train.params}
    decorated: Callable[..., Any] = with_step
    for name in reversed(step_names()):
        if name == "device":
            decorated = click.option(
                "--device",
                metavar="NAME",
                help="cpu, cuda, a size such as 12GB, or a card (`graphmem devices`) with its usable memory.",
            )(decorated)
        else:
            decorated = _with(decorated, option_of[name])
    return click.option("--train", "is_training", is_flag=True, help="A training step; any option of one implies it.")(
        decorated
    )


def _with(function: Callable[..., Any], parameter: click.Parameter) -> Callable[..., Any]:
    """The function with one more parameter, as click's own decorators leave it."""
    parameters = getattr(function, "__click_params__", None)
    if parameters is None:
        parameters = function.__click_params__ = []  # type: ignore[attr-defined]
    parameters.append(parameter)
    return function
