"""Remedies: what may make a step fit, each a change of `graphmem.train`'s arguments and what to do in PyTorch.

REMEDIES is the table; a remedy whose `changed` returns None has nothing to offer to those settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphmem.autograd.optimizers import OPTIMIZERS
from graphmem.autograd.program import Program, Ref
from graphmem.fitting.probe import EXPANDABLE, NATIVE
from graphmem.ir.fit import Outcome

Settings: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Remedy:
    """One row: `changed(settings, program)` are the new settings; `what` and `code` may name {placeholders} of them."""

    name: str
    outcome: Outcome
    changed: Callable[[Settings, Program], Settings | None]
    what: str
    code: str
    allocator: str = NATIVE


def _unchanged(settings: Settings, _: Program) -> Settings:
    return settings


def _fused(settings: Settings, _: Program) -> Settings | None:
    return {**settings, "form": "fused"} if OPTIMIZERS[settings["optimizer"]].has_fused else None


def _looped(settings: Settings, _: Program) -> Settings | None:
    has_better = OPTIMIZERS[settings["optimizer"]].has_fused
    return None if has_better or settings["form"] == "single" else {**settings, "form": "single"}


def _optimizer(name: str) -> Callable[[Settings, Program], Settings | None]:
    def changed(settings: Settings, _: Program) -> Settings | None:
        if settings["optimizer"] not in _LIGHTER or name not in _LIGHTER[settings["optimizer"]]:
            return None
        form = settings["form"] if settings["form"] != "fused" or OPTIMIZERS[name].has_fused else None
        return {**settings, "optimizer": name, "form": form}

    return changed


# Optimizer -> those that keep less; an entry says nothing about how well they train.
_AFTER_ADAM = ("adam8bit", "adafactor", "lion", "momentum", "sgd")
_LIGHTER = {
    **dict.fromkeys(("adam", "adamw", "nadam", "radam"), _AFTER_ADAM),
    "amsgrad": ("adamw", *_AFTER_ADAM),
    **dict.fromkeys(("rmsprop", "adagrad", "lion", "muon", "momentum", "nesterov"), ("adafactor", "sgd")),
}


def head_only(settings: Settings, program: Program) -> Settings | None:
    """Every parameter frozen but those of the last layer that has any."""
    names = [given.name for given in program.of("parameter")]
    known = set(names)
    last = next((used for call in reversed(program.calls) if (used := [n for n in call.reads if n in known])), None)
    if last is None or settings["freeze"]:
        return None
    module = last[-1].rpartition(".")[0]
    kept = {name for name in names if name in last or (module and name.rpartition(".")[0] == module)}
    frozen = _patterns(names, kept)
    return {**settings, "freeze": frozen} if frozen else None


def _patterns(names: list[str], kept: set[str]) -> tuple[str, ...]:
    """Patterns that match all names but the kept: "group.*" where a whole first component goes, else names."""
    mixed = {name.partition(".")[0] for name in kept}
    patterns = {}
    for name in names:
        group, dot, _ = name.partition(".")
        if name not in kept:
            patterns[f"{group}.*" if dot and group not in mixed else name] = None
    return tuple(patterns)


REMEDIES: tuple[Remedy, ...] = (
    Remedy(
        "expandable", "same", _unchanged,
        "let reserved memory grow in place: PYTORCH_ALLOC_CONF=expandable_segments:True",
        "export PYTORCH_ALLOC_CONF=expandable_segments:True  # PYTORCH_CUDA_ALLOC_CONF before torch 2.9; not on Windows",
        EXPANDABLE,
    ),
    Remedy(
        "fused", "same", _fused,
        "one kernel for the optimizer's step: {class_}(..., fused=True)",
        "optimizer = {class_}(model.parameters(), lr=lr, fused=True)",
    ),
    Remedy(
        "loop", "same", _looped,
        "step one parameter after the other: {class_}(..., foreach=False)",
        "optimizer = {class_}(model.parameters(), lr=lr, foreach=False)",
    ),
    *(
        Remedy(
            name, "other", _optimizer(name),
            "train with {class_} instead of {before}",
            "optimizer = {class_}(model.parameters(), lr=lr)",
        )
        for name in ("adamw", *_AFTER_ADAM)
    ),
    Remedy(
        "head-only", "other", head_only,
        "train the last layer only: requires_grad_(False) on all others",
        "for name, parameter in model.named_parameters():\n    parameter.requires_grad_(name.startswith({head!r}))",
    ),
)  # fmt: skip

CLASSES = {
    "sgd": "torch.optim.SGD", "momentum": "torch.optim.SGD(momentum=0.9)", "nesterov": "torch.optim.SGD(nesterov=True)",
    "adam": "torch.optim.Adam", "adamw": "torch.optim.AdamW", "amsgrad": "torch.optim.AdamW(amsgrad=True)",
    "nadam": "torch.optim.NAdam", "radam": "torch.optim.RAdam", "rmsprop": "torch.optim.RMSprop",
    "adagrad": "torch.optim.Adagrad", "adafactor": "torch.optim.Adafactor", "lion": "lion_pytorch.Lion",
    "adam8bit": "bitsandbytes.optim.AdamW8bit", "muon": "torch.optim.Muon",
}  # fmt: skip
