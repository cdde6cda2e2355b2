"""Remedies: what may make a training step fit, as changes of `graphmem.train`'s arguments, said in PyTorch's terms.

REMEDIES is the table, CANDIDATES the combinations that are tried. A remedy whose `changed` returns None has nothing to
offer to those settings. Accumulation is no row: how many passes it takes depends on the device (candidates.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphmem.autograd.optimizers import OPTIMIZERS
from graphmem.autograd.segments import segments_of
from graphmem.fitting.probe import EXPANDABLE, NATIVE, linear_weights
from graphmem.ir.errors import OptionError
from graphmem.ir.fit import Outcome
from graphmem.ir.program import Program

Settings: TypeAlias = Mapping[str, Any]
Change: TypeAlias = "Callable[[Settings, Program], Settings | None]"


@dataclass(frozen=True, slots=True)
class Remedy:
    """One row; `what` says what to do in one line, recipe.py the code."""

    name: str
    outcome: Outcome
    what: str
    changed: Change
    allocator: str = NATIVE
    outcome_of_steps: Outcome | None = None  # where it is another for training
    is_for_steps: bool = True  # offered to training steps; pure float16 is not: small gradients vanish unscaled
    is_for_runs: bool = False  # offered to forward runs


def _unchanged(settings: Settings, _: Program) -> Settings:
    return settings


def _fused(settings: Settings, _: Program) -> Settings | None:
    row = OPTIMIZERS[settings["optimizer"]]
    has_temporaries = row.foreach > 0 or (settings["weight_decay"] and row.with_decay)
    gains = row.has_fused and has_temporaries and settings["form"] != "fused"
    return {**settings, "form": "fused"} if gains else None


def _looped(settings: Settings, _: Program) -> Settings | None:
    has_better = OPTIMIZERS[settings["optimizer"]].has_fused
    return None if has_better or settings["form"] == "single" else {**settings, "form": "single"}


# Optimizer -> those that keep less; an entry says nothing about how well they train.
_AFTER_ADAM = ("adam8bit", "adafactor", "lion", "momentum", "sgd")
_LIGHTER = {
    **dict.fromkeys(("adam", "adamw", "nadam", "radam"), _AFTER_ADAM),
    "amsgrad": ("adamw", *_AFTER_ADAM),
    **dict.fromkeys(("rmsprop", "adagrad", "lion", "muon", "momentum", "nesterov"), ("adafactor", "sgd")),
}


def _optimizer(name: str) -> Change:
    def changed(settings: Settings, _: Program) -> Settings | None:
        if name not in _LIGHTER.get(settings["optimizer"], ()):
            return None
        keeps_form = settings["form"] != "fused" or OPTIMIZERS[name].has_fused
        return {**settings, "optimizer": name, "form": settings["form"] if keeps_form else None}

    return changed


def _precision(name: str) -> Change:
    def changed(settings: Settings, _: Program) -> Settings | None:
        return {**settings, "precision": name} if settings["precision"] == "fp32" else None

    return changed


def _quantized(name: str) -> Change:
    def changed(settings: Settings, program: Program) -> Settings | None:
        is_offered = settings["precision"] == "fp32" and linear_weights(program)
        return {**settings, "precision": name} if is_offered else None

    return changed


def _lora(settings: Settings, _: Program) -> Settings | None:
    return None if settings["lora"] or settings["freeze"] else {**settings, "lora": "8"}


def _offload(what: str) -> Change:
    def changed(settings: Settings, _: Program) -> Settings | None:
        offload = settings["offload"]
        return None if what in offload else {**settings, "offload": (*offload, what)}

    return changed


def _checkpoint(settings: Settings, program: Program) -> Settings | None:
    """Every repeated block checkpointed."""
    if settings["checkpoint"]:
        return None
    try:
        return {**settings, "checkpoint": ("blocks",)} if segments_of(program, ("blocks",)) else None
    except OptionError:
        return None


def head(program: Program) -> tuple[str, ...]:
    """Names of the parameters of the last layer that has any."""
    names = [given.name for given in program.of("parameter")]
    known = set(names)
    last = next((used for call in reversed(program.calls) if (used := [n for n in call.reads if n in known])), [])
    module = last[-1].rpartition(".")[0] if last else ""
    return tuple(name for name in names if name in last or (module and name.rpartition(".")[0] == module))


def _head_only(settings: Settings, program: Program) -> Settings | None:
    """All parameters frozen but the last layer's: "group.*" where a whole first component goes, else by name."""
    kept = head(program)
    mixed = {name.partition(".")[0] for name in kept}
    patterns: dict[str, None] = {}
    for name in (given.name for given in program.of("parameter") if given.name not in kept):
        group, dot, _ = name.partition(".")
        patterns[f"{group}.*" if dot and group not in mixed else name] = None
    return {**settings, "freeze": tuple(patterns)} if kept and patterns and not settings["freeze"] else None


REMEDIES: tuple[Remedy, ...] = (
    Remedy(
        "expandable", "same", "let reserved memory grow in place: expandable_segments:True",
        _unchanged, EXPANDABLE, is_for_runs=True,
    ),
    Remedy("fused", "same", "fused=True for the optimizer: no temporaries", _fused),
    Remedy("loop", "same", "foreach=False for the optimizer: fewer temporaries", _looped),
    Remedy(
        "bf16-amp", "rounding", "mixed precision: torch.autocast, bfloat16", _precision("bf16-amp"), is_for_runs=True
    ),
    Remedy("fp16-amp", "rounding", "mixed precision: torch.autocast, float16, GradScaler", _precision("fp16-amp")),
    Remedy(
        "bf16", "rounding", "all in bfloat16, weights too: model.to(torch.bfloat16)", _precision("bf16"),
        outcome_of_steps="other", is_for_runs=True,
    ),
    Remedy(
        "fp16", "rounding", "all in float16, weights too: model.half()", _precision("fp16"),
        is_for_steps=False, is_for_runs=True,
    ),
    *(
        Remedy(
            name, "rounding", f"linear layers' weights in {name}, the rest in {rest} (torchao)", _quantized(name),
            is_for_steps=False, is_for_runs=True,
        )
        for name, rest in (("int8", "float16"), ("int4", "bfloat16"))
    ),
    Remedy("checkpoint", "same", "compute every block again in the backward pass", _checkpoint),
    *(
        Remedy(name, "other", f"{called} in place of the optimizer", _optimizer(name))
        for name, called in (
            ("adamw", "AdamW"), ("adam8bit", "8-bit AdamW (bitsandbytes)"), ("adafactor", "Adafactor"),
            ("lion", "Lion"), ("momentum", "SGD with momentum"), ("sgd", "plain SGD"),
        )
    ),
    Remedy("lora", "other", "LoRA: adapters of rank 8 beside linear layers (peft)", _lora),
    Remedy("offload-optimizer", "same", "optimizer's state and step in system memory (torchao)", _offload("optimizer")),
    Remedy(
        "offload-activations", "same", "saved activations in system memory: save_on_cpu", _offload("activations")
    ),
    Remedy("head-only", "other", "train the last layer alone, the others frozen", _head_only),
)  # fmt: skip
BY_NAME = {remedy.name: remedy for remedy in REMEDIES}
ACCUMULATE = "accumulate"
ALIKE = {"fp16-amp": ("bf16-amp",), "fp16": ("bf16",)}  # remedies of almost the same need: a search starts there

# What is tried beside each row alone; the first name that has nothing to offer drops the whole combination.
COMBINATIONS: tuple[tuple[str, ...], ...] = (
    (ACCUMULATE,),
    ("bf16-amp", ACCUMULATE),
    ("bf16-amp", "checkpoint"),
    ("bf16-amp", "checkpoint", ACCUMULATE),
    ("checkpoint", ACCUMULATE),
    ("adam8bit", ACCUMULATE),
    ("checkpoint", "adam8bit"),
    ("bf16-amp", "lora"),
    ("checkpoint", "offload-optimizer"),
)
RUN_COMBINATIONS: tuple[tuple[str, ...], ...] = ((ACCUMULATE,), ("bf16", ACCUMULATE), ("int4", ACCUMULATE))


def applied(names: tuple[str, ...], settings: Settings, program: Program) -> Settings | None:
    """The settings with all those remedies, accumulation aside; None when one has nothing to offer."""
    for name in names:
        changed = BY_NAME[name].changed(settings, program) if name != ACCUMULATE else settings
        if changed is None:
            return None
        settings = changed
    return settings
