"""Limits, figures of one model -> Gates: what CI allows the model to need, held against what it needs.

pyproject.toml -> Checked: the models that a project checks, how to read each, and what it may need.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from graphmem.fitting.devices import accelerator, device, nbytes_of_text
from graphmem.ir.analysis import Analysis
from graphmem.ir.device import Device
from graphmem.ir.errors import OptionError
from graphmem.ir.fit import Need
from graphmem.ir.gate import Gate
from graphmem.ir.keywords import FitKeywords, step_names
from graphmem.ir.memory import Plan
from graphmem.ir.options import DEVICES, TrainingOptions
from graphmem.ir.training import Training, may_hold_more


@dataclass(frozen=True, slots=True)
class Limits:
    """Most bytes of each figure; None is no limit. `increase` is the part allowed over `baseline`, an earlier peak.

    `device` limits the peak, or of training what its allocator reserves, to its usable memory. `min_batch` is a batch
    at which the limits on the peaks must still hold.
    """

    max_peak: int | None = None
    max_activations: int | None = None
    max_weights: int | None = None
    max_arena: int | None = None
    max_train_peak: int | None = None
    device: Device | None = None
    min_batch: int | None = None
    baseline: int | None = None
    increase: Decimal = Decimal(0)

    @property
    def has_peak(self) -> bool:
        """True when a peak is limited, so that there is something to hold another batch against."""
        return any(limit is not None for limit in (self.max_peak, self.max_train_peak, self.device))


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of one model: its inference; where limits ask for them the plan, a step, a run on the device."""

    analysis: Analysis
    plan: Plan | None = None
    training: Training | None = None
    run: Need | None = None


def gates(found: Figures, model: str, limits: Limits) -> tuple[Gate, ...]:
    """One gate per limit set; a figure that is only a lower bound never passes."""
    analysis = found.analysis
    is_proved, run, where = analysis.exactness != "at least", analysis.inference, _peak_of(analysis)
    made = [
        ("max-activations", "activation peak", run.peak, limits.max_activations, where),
        ("max-weights", "weights", analysis.model.weight_bytes, limits.max_weights, ""),
        ("max-arena", "arena", found.plan.arena if found.plan else run.peak, limits.max_arena, _method(found.plan)),
    ]
    if limits.baseline is not None:
        most = int(limits.baseline * (1 + limits.increase))
        allowed = f"{limits.increase * 100:f}".rstrip("0").rstrip(".") or "0"
        what = f"peak, {allowed}% over the baseline allowed,"
        made.append(("max-increase", what, analysis.peak_with_weights, most, where))
    others = (
        Gate(model, name, what, figure, limit, is_proved, place)
        for name, what, figure, limit, place in made
        if limit is not None
    )
    return (*peak_gates(found, model, limits), *others)


def peak_gates(found: Figures, model: str, limits: Limits, batch: int | None = None) -> Iterable[Gate]:
    """The gates on peaks; of another `batch` all under the name of --min-batch."""
    analysis, training = found.analysis, found.training
    of_batch = f" at batch {batch}" if batch is not None else ""

    def gate(name: str, what: str, figure: int, limit: int, is_proved: bool, where: str) -> Gate:
        return Gate(model, "min-batch" if of_batch else name, what + of_batch, figure, limit, is_proved, where)

    is_proved, where = analysis.exactness != "at least", _peak_of(analysis)
    if limits.max_peak is not None:
        what = "peak (weights and activations)"
        yield gate("max-peak", what, analysis.peak_with_weights, limits.max_peak, is_proved, where)
    if training is None:
        if limits.device is not None and found.run is not None:
            on, run = accelerator(limits.device), found.run
            is_proved = run.counted != "at least" and not may_hold_more((*on.uncounted, *run.uncounted))
            what = f"inference on {limits.device.name}, {on.compared},"
            usable = limits.device.usable_bytes()
            yield gate("device", what, run.compared, usable, is_proved, _noted("", run.uncounted))
        return
    is_proved, where = training.exactness != "at least", _training_peak_of(training)
    if limits.max_train_peak is not None:
        yield gate("max-train-peak", "training peak", training.most, limits.max_train_peak, is_proved, where)
    if limits.device is not None:
        on = accelerator(limits.device)
        figure, unknown = training.most, on.uncounted
        is_proved = is_proved and not unknown
        if training.allocator is not None:
            figure, unknown = training.allocator.reserved, (*unknown, *training.allocator.unknown)
            is_proved = is_proved and not training.allocator.may_hold_more
        what = f"training on {limits.device.name}, {on.compared},"
        yield gate("device", what, figure, limits.device.usable_bytes(), is_proved, _noted(where, unknown))


def _noted(where: str, unknown: Sequence[str]) -> str:
    """Where the peak is, and what is not counted in it."""
    beside = f"not counted: {', '.join(unknown)}" if unknown else ""
    return "; ".join(filter(None, (where, beside)))


def _peak_of(analysis: Analysis) -> str:
    run = analysis.inference
    where = f"step {run.peak_step}, {run.peak_operator}"
    return where + (f" in {run.peak_origin.scope}" if run.peak_origin.scope else "")


def _training_peak_of(training: Training) -> str:
    scope = training.peak_origin.scope
    return f"{training.peak_phase}, {training.peak_operator}" + (f" in {scope}" if scope else "")


def _method(plan: Plan | None) -> str:
    if plan is None:
        return "no plan while sizes are missing"
    return plan.method + (", proved least" if plan.is_optimal else "")


_SIZES = ("max-peak", "max-activations", "max-weights", "max-arena", "max-train-peak")
_KEYS = ("path", "batch", "dims", "baseline", "max-increase", *_SIZES, "device", "min-batch", "train")


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
    if text in DEVICES:
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
    """The options of a step under `train`, written with dashes; the device has a key of its own."""
    choices = step_names(FitKeywords)
    found = {key.replace("-", "_"): value for key, value in entry.items()}
    for key, name in zip(entry, found, strict=True):
        if name not in choices:
            raise OptionError(f"'{config}': unknown key '{key}' of train; it takes {', '.join(choices)}")
    try:
        TrainingOptions(**found)
    except OptionError as error:
        raise OptionError(f"'{config}': {error}") from error
    return found


def _toml(text: str) -> dict[str, Any]:
    from importlib import import_module

    tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    document: dict[str, Any] = tomllib.loads(text)
    return document
