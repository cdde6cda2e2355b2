"""pyproject.toml -> Checked: the models that a project checks, how to read each, and what it may need."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from graphmem.fitting.accelerator import accelerator
from graphmem.fitting.devices import device
from graphmem.fitting.gates import Limits
from graphmem.fitting.sizes import nbytes_of_text
from graphmem.ir.device import Device
from graphmem.ir.errors import OptionError

PLAIN_DEVICES = ("cpu", "cuda")
_SIZES = ("max-peak", "max-activations", "max-weights", "max-arena", "max-train-peak")
_KEYS = ("path", "batch", "dims", "baseline", "max-increase", *_SIZES, "device", "min-batch", "train")
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,), "bool": (bool,), "int": (int,), "float": (int, float), "Sequence[str]": (list,),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checked:
    """One model to check: its file, how `analyze` is to read it, its limits, and its baseline file if any.

    `step` holds the keywords of `graphmem.train`; None when training is not asked about.
    """

    path: Path
    reading: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    baseline: Path | None = None
    step: Mapping[str, Any] | None = None


def fraction(text: str) -> Decimal:
    """The part that "2%" or "0.02" says; OptionError for anything else."""
    try:
        value = Decimal(text.strip().removesuffix("%")) / (100 if text.strip().endswith("%") else 1)
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or value < 0:
        raise OptionError(f"'{text}' is not an increase; write 2% or 0.02")
    return value


def training_device(text: str) -> tuple[str, Device | None]:
    """What PyTorch calls the device meant by "cuda", "cpu" or a card's name, and the card."""
    if text in PLAIN_DEVICES:
        return text, None
    found = device(text)
    return accelerator(found).torch_device, found


def configured(path: Path, reading: Mapping[str, Any], limits: Limits, step: Mapping[str, Any]) -> tuple[Checked, ...]:
    """The models under `[[tool.graphmem.models]]` of a pyproject.toml; OptionError says what is wrong with it.

    An entry's own keys come before `reading`, `limits` and `step`, the options that hold for all of them.
    """
    try:
        document = _toml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"'{path}' cannot be read as TOML: {error}") from error
    table = document.get("tool", {}).get("graphmem", {})
    models = table.get("models", []) if isinstance(table, dict) else []
    if not models:
        raise OptionError(f"'{path}' has no [[tool.graphmem.models]]; give a MODEL, or add its path and limits there")
    if not isinstance(models, list) or not all(isinstance(entry, dict) for entry in models):
        raise OptionError(f"'{path}': write each model as a table, [[tool.graphmem.models]]")
    return tuple(_checked(entry, path, reading, limits, step) for entry in models)


def _checked(
    entry: Mapping[str, Any], config: Path, reading: Mapping[str, Any], common: Limits, step: Mapping[str, Any]
) -> Checked:
    unknown = sorted(set(entry) - set(_KEYS))
    if unknown or not isinstance(entry.get("path"), str):
        what = f"unknown key '{unknown[0]}'" if unknown else "a model without a path"
        raise OptionError(f"'{config}': {what}; [[tool.graphmem.models]] takes {', '.join(_KEYS)}")
    sizes = {key: nbytes_of_text(str(entry[key])) for key in _SIZES if key in entry}
    kind, card = training_device(str(entry["device"])) if "device" in entry else (None, common.device)
    max_train_peak = sizes.get("max-train-peak", common.max_train_peak)
    is_training = bool(entry.get("train", False)) or max_train_peak is not None
    settings = _settings(entry["train"], config) if isinstance(entry.get("train"), dict) else {}
    folder = config.parent
    return Checked(
        path=folder / entry["path"],
        reading={**reading, **_own_reading(entry, config)},
        limits=Limits(
            max_peak=sizes.get("max-peak", common.max_peak),
            max_activations=sizes.get("max-activations", common.max_activations),
            max_weights=sizes.get("max-weights", common.max_weights),
            max_arena=sizes.get("max-arena", common.max_arena),
            max_train_peak=max_train_peak,
            device=card,
            min_batch=_integer(entry, "min-batch", config) if "min-batch" in entry else common.min_batch,
            increase=fraction(str(entry["max-increase"])) if "max-increase" in entry else common.increase,
        ),
        baseline=folder / entry["baseline"] if "baseline" in entry else None,
        step={**step, **({"device": kind} if kind else {}), **settings} if is_training else None,
    )


def _own_reading(entry: Mapping[str, Any], config: Path) -> dict[str, Any]:
    own: dict[str, Any] = {"batch": _integer(entry, "batch", config)} if "batch" in entry else {}
    if "dims" in entry:
        dims = entry["dims"]
        if not isinstance(dims, dict):
            raise OptionError(f"'{config}': dims is a table such as {{ sequence = 512 }}")
        own["dims"] = {name: _integer(dims, name, config) for name in dims}
    return own


def _integer(entry: Mapping[str, Any], key: str, config: Path) -> int:
    if type(entry[key]) is not int or entry[key] < 0:
        raise OptionError(f"'{config}': {key} is a number of elements, not {entry[key]!r}")
    return int(entry[key])


def _settings(entry: Mapping[str, Any], config: Path) -> dict[str, Any]:
    """The keywords of `graphmem.train` under `train`, written with dashes."""
    from graphmem.training import train

    choices = _step_keywords(train)
    found = {}
    for key, value in entry.items():
        name = key.replace("-", "_")
        if name not in choices:
            raise OptionError(f"'{config}': unknown key '{key}' of train; it takes {', '.join(choices)}")
        wanted = _TYPES.get(choices[name].removesuffix(" | None"))
        if wanted is not None and not isinstance(value, wanted):
            raise OptionError(f"'{config}': {key} of train is {choices[name]}, not {value!r}")
        found[name] = value
    return found


def _step_keywords(function: Callable[..., Any]) -> dict[str, str]:
    """Keyword-only arguments that belong to the step, with their annotation; the device has a key of its own."""
    of_reading = ("batch", "device", "strict", "trips", "shapes", "prune")
    parameters = inspect.signature(function).parameters.values()
    return {p.name: str(p.annotation) for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in of_reading}


def _toml(text: str) -> dict[str, Any]:
    from importlib import import_module

    tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    document: dict[str, Any] = tomllib.loads(text)
    return document
