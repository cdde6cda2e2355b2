"""Limits -> Gates: what CI allows a model to need, and the limits that a project's pyproject.toml sets."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from graphmem.fitting.sizes import nbytes_of_text
from graphmem.ir.analysis import Analysis
from graphmem.ir.errors import OptionError
from graphmem.ir.gate import Gate


@dataclass(frozen=True, slots=True)
class Limits:
    """Most bytes of each figure; None is no limit. `increase` is the part allowed over `baseline`, an earlier peak."""

    max_peak: int | None = None
    max_activations: int | None = None
    max_weights: int | None = None
    baseline: int | None = None
    increase: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Checked:
    """One model to check: its file, how `analyze` is to read it, its limits, and its baseline file if any."""

    path: Path
    reading: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    baseline: Path | None = None


def gates(analysis: Analysis, model: str, limits: Limits) -> tuple[Gate, ...]:
    """One gate per limit set; a figure that is only a lower bound never passes."""
    is_proved = analysis.exactness != "at least"
    peak = analysis.peak_with_weights
    run = analysis.inference
    where = f"step {run.peak_step}, {run.peak_operator}"
    where += f" in {run.peak_origin.scope}" if run.peak_origin.scope else ""
    made = [
        ("max-peak", "peak (weights and activations)", peak, limits.max_peak, where),
        ("max-activations", "activation peak", run.peak, limits.max_activations, where),
        ("max-weights", "weights", analysis.model.weight_bytes, limits.max_weights, ""),
    ]
    if limits.baseline is not None:
        most = int(limits.baseline * (1 + limits.increase))
        allowed = f"{limits.increase * 100:f}".rstrip("0").rstrip(".") or "0"
        made.append(("max-increase", f"peak, {allowed}% over the baseline allowed,", peak, most, where))
    return tuple(
        Gate(model, name, what, figure, limit, is_proved, place)
        for name, what, figure, limit, place in made
        if limit is not None
    )


def fraction(text: str) -> Decimal:
    """The part that "2%" or "0.02" says; OptionError for anything else."""
    try:
        value = Decimal(text.strip().removesuffix("%")) / (100 if text.strip().endswith("%") else 1)
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or value < 0:
        raise OptionError(f"'{text}' is not an increase; write 2% or 0.02")
    return value


_KEYS = ("path", "batch", "dims", "baseline", "max-increase", "max-peak", "max-activations", "max-weights")


def configured(path: Path, reading: Mapping[str, Any]) -> tuple[Checked, ...]:
    """The models under `[[tool.graphmem.models]]` of a pyproject.toml; OptionError says what is wrong with it.

    An entry's own dimensions and batch come before those of `reading`, the options that hold for all of them.
    """
    try:
        document = _toml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"'{path}' cannot be read as TOML: {error}") from error
    table = document.get("tool", {}).get("graphmem", {})
    models = table.get("models", []) if isinstance(table, dict) else []
    if not models:
        raise OptionError(f"'{path}' has no [[tool.graphmem.models]]; give a MODEL, or add its path and limits there")
    return tuple(_checked(entry, path, reading) for entry in models)


def _checked(entry: Mapping[str, Any], config: Path, reading: Mapping[str, Any]) -> Checked:
    unknown = sorted(set(entry) - set(_KEYS))
    if unknown or not isinstance(entry.get("path"), str):
        what = f"unknown key '{unknown[0]}'" if unknown else "a model without a path"
        raise OptionError(f"'{config}': {what}; [[tool.graphmem.models]] takes {', '.join(_KEYS)}")
    sizes = {key: nbytes_of_text(str(entry[key])) for key in _KEYS if key in entry and key in _LIMITS}
    own = {key: entry[key] for key in ("dims", "batch") if key in entry}
    folder = config.parent
    return Checked(
        path=folder / entry["path"],
        reading={**reading, **own},
        limits=Limits(
            max_peak=sizes.get("max-peak"),
            max_activations=sizes.get("max-activations"),
            max_weights=sizes.get("max-weights"),
            increase=fraction(str(entry.get("max-increase", "0"))),
        ),
        baseline=folder / entry["baseline"] if "baseline" in entry else None,
    )


_LIMITS = ("max-peak", "max-activations", "max-weights")


def _toml(text: str) -> dict[str, Any]:
    from importlib import import_module

    tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    document: dict[str, Any] = tomllib.loads(text)
    return document
