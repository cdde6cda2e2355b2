"""Names -> the options that describe a training step, the same in every command that takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

LOSSES = ("cross_entropy", "mse", "l1", "bce", "sum", "mean", "none")
OPTIMIZERS = (
    "sgd", "momentum", "nesterov", "adam", "adamw", "amsgrad", "nadam", "radam", "rmsprop", "adagrad", "adafactor",
    "lion", "adam8bit", "muon",
)  # fmt: skip
PRECISIONS = ("fp32", "bf16", "fp16", "bf16-amp", "fp16-amp")
_CHECKPOINT = "Modules to compute again in the backward pass: 'layers.*', blocks, every:2 or sqrt."
_LORA = "Freeze the model; adapters of rank R beside its linear layers."


def _choice(name: str, values: tuple[str, ...], default: str, help_: str) -> Callable[..., Any]:
    return click.option(name, type=click.Choice(values), default=default, show_default=True, help=help_)


TRAINING: dict[str, Callable[..., Any]] = {
    "loss": _choice("--loss", LOSSES, "cross_entropy", "Loss function."),
    "optimizer": _choice("--optimizer", OPTIMIZERS, "sgd", "Optimizer."),
    "form": click.option(
        "--form", type=click.Choice(["single", "foreach", "fused"]), help="Of the optimizer. Default: torch's."
    ),
    "weight_decay": click.option("--weight-decay", is_flag=True, help="The optimizer is given a weight decay."),
    "device": _choice("--device", ("cpu", "cuda"), "cpu", "Device."),
    "freeze": click.option(
        "--freeze", multiple=True, metavar="PATTERN", help="Parameters that are not trained, such as 'encoder.*'."
    ),
    "assume_bn": click.option(
        "--assume-bn", is_flag=True, help="Put batch norms back where they may have been folded away."
    ),
    "dropout": click.option(
        "--dropout", type=click.FloatRange(0, 1), metavar="P", help="Put back dropout that the export removed."
    ),
    "attention_dropout": click.option(
        "--attention-dropout", type=click.FloatRange(0, 1), metavar="P", help="The same for attention weights."
    ),
    "inplace": click.option(
        "--inplace", multiple=True, metavar="PATTERN", help="Modules whose activations run in place: 'features.*', '*'."
    ),
    "precision": _choice("--precision", PRECISIONS, "fp32", "Of the step."),
    "accumulate": click.option(
        "--accumulate", type=click.IntRange(min=1), default=1, metavar="N", help="Passes before the optimizer steps."
    ),
    "checkpoint": click.option("--checkpoint", multiple=True, metavar="SPEC", help=_CHECKPOINT),
    "lora": click.option("--lora", default="", metavar="R[:PATTERN]", help=_LORA),
    "offload": click.option(
        "--offload", multiple=True, type=click.Choice(["optimizer", "activations"]), help="What waits in host memory."
    ),
}


def training_options(*without: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """All options of the table but those, as keyword arguments of the command under their names."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed([name for name in TRAINING if name not in without]):
            command = TRAINING[name](command)
        return command

    return decorate
