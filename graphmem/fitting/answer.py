"""Path, device -> Fit: does it fit, up to which batch, and what else would fit at what cost; `graphmem.fit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from graphmem.autograd.losses import LOSSES
from graphmem.autograd.optimizers import FORMS, OPTIMIZERS
from graphmem.autograd.precision import PRECISIONS
from graphmem.fitting.devices import device as device_of
from graphmem.fitting.probe import Probe, Source
from graphmem.fitting.verdict import Asked, answered
from graphmem.ir.device import Device
from graphmem.ir.errors import OptionError
from graphmem.ir.fit import Fit
from graphmem.ir.types import TensorType

# Keyword arguments of `graphmem.train` that describe the step, and what they are when not given.
STEP: dict[str, Any] = {
    "loss": "cross_entropy", "optimizer": "sgd", "form": None, "weight_decay": False, "freeze": (),
    "assume_bn": False, "dropout": None, "attention_dropout": None, "precision": "fp32", "accumulate": 1,
    "checkpoint": (), "lora": "", "offload": (),
}  # fmt: skip
OF_RUN = {"precision", "assume_bn"}  # those that a forward run has too
_CHOICES: dict[str, Mapping[str, Any] | Sequence[str]] = {
    "loss": LOSSES, "optimizer": OPTIMIZERS, "form": FORMS, "precision": PRECISIONS,
}  # fmt: skip


def fit(
    path: str | Path,
    device: str | Device | None = None,
    dims: Mapping[str, int] | None = None,
    *,
    batch: int | None = None,
    train: bool = False,
    display: bool = False,
    count: int = 1,
    brief: bool = False,
    strict: bool = False,
    trips: Mapping[str, int] | None = None,
    shapes: Mapping[str, TensorType] | None = None,
    progress: Callable[[str], None] | None = None,
    **step: Any,
) -> Fit:
    """Whether the model in the ONNX file at `path` fits a device, up to which batch, and what else would fit.

    Args:
        path: the file, as for `analyze` and `train`.
        device: a name of the catalogue or a size ("rtx 3060", "4GB"); None asks which devices fit.
        dims: numbers for free dimensions, as for `analyze`.
        batch: the batch asked about; None asks for the largest.
        train: a training step, described by `step`; else a forward run of PyTorch under `torch.no_grad()`.
        display: a desktop runs on the device.
        brief: no options, only the verdict and the largest batch.
        count: devices of that kind that may share a training step, by ZeRO or a pipeline.
        strict: refuse a free dimension instead of taking 1.
        trips: how often a loop runs, as for `analyze`.
        shapes: types of tensors that cannot be known, as for `analyze`.
        progress: called with what is looked at next.
        step: further keyword arguments of `train`: loss, optimizer, precision and so on.

    Raises:
        ModelError: the file is not a readable, valid model.
        OptionError: an option fits neither the model nor the choices, or no device has that name.
    """
    if batch is not None and batch < 1:
        raise OptionError(f"--batch {batch}: the batch must be at least 1")
    if count < 1:
        raise OptionError(f"--count {count}: there must be at least 1 device")
    asked = device_of(device) if isinstance(device, str) else device
    source = Source(Path(path), {"dims": dims, "is_strict": strict, "trips": trips, "shapes": shapes})
    question = Asked(asked, batch, display, progress or _silent, count, brief)
    described = sorted(set(step) - OF_RUN)
    if described and not train:
        raise OptionError(f"'{described[0]}' describes a training step; ask with train=True")
    return answered(Probe(source, train), source, _settings(step), question)


def _settings(step: Mapping[str, Any]) -> dict[str, Any]:
    """The step with its defaults; OptionError for what is no argument or no choice of it."""
    unknown = sorted(set(step) - set(STEP))
    if unknown:
        raise OptionError(f"'{unknown[0]}' is not an argument of a training step; there are {', '.join(STEP)}")
    settings = {**STEP, **step}
    for name, choices in _CHOICES.items():
        if settings[name] not in choices and not (name == "form" and settings[name] is None):
            raise OptionError(f"{name} '{settings[name]}' is not one of {', '.join(choices)}")
    if settings["accumulate"] < 1:
        raise OptionError(f"accumulate {settings['accumulate']} is not a number of passes: give 1 or more")
    return settings | {name: tuple(settings[name]) for name in ("freeze", "checkpoint", "offload")}


def _silent(_: str) -> None:
    """Tell nobody."""
