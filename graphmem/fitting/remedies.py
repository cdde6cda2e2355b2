"""Remedies: what may make a training step fit, as changes of `graphmem.train`'s arguments, said in PyTorch's terms.

REMEDIES is the table, CANDIDATES the combinations that are tried. A remedy whose `changed` returns None has nothing to
offer to those settings. Accumulation is no row: how many passes it takes depends on the device (options.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphmem.autograd.optimizers import OPTIMIZERS
from graphmem.autograd.program import Program
from graphmem.fitting.probe import EXPANDABLE, NATIVE
from graphmem.ir.fit import Outcome

Settings: TypeAlias = Mapping[str, Any]
Change: TypeAlias = "Callable[[Settings, Program], Settings | None]"

# How each optimizer is made, and its name in a sentence.
CLASSES = {
    "sgd": "torch.optim.SGD({p})", "momentum": "torch.optim.SGD({p}, momentum=0.9)",
    "nesterov": "torch.optim.SGD({p}, momentum=0.9, nesterov=True)", "adam": "torch.optim.Adam({p})",
    "adamw": "torch.optim.AdamW({p})", "amsgrad": "torch.optim.AdamW({p}, amsgrad=True)",
    "nadam": "torch.optim.NAdam({p})", "radam": "torch.optim.RAdam({p})", "rmsprop": "torch.optim.RMSprop({p})",
    "adagrad": "torch.optim.Adagrad({p})", "adafactor": "torch.optim.Adafactor({p})", "muon": "torch.optim.Muon({p})",
    "lion": "lion_pytorch.Lion({p})", "adam8bit": "bitsandbytes.optim.AdamW8bit({p})",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Remedy:
    """One row; `code` may name {optimizer}, how that of the new settings is made, and {kept}, what stays trained."""

    name: str
    outcome: Outcome
    what: str
    code: str
    changed: Change
    allocator: str = NATIVE


def _unchanged(settings: Settings, _: Program) -> Settings:
    return settings


def _fused(settings: Settings, _: Program) -> Settings | None:
    has_fused = OPTIMIZERS[settings["optimizer"]].has_fused
    return {**settings, "form": "fused"} if has_fused and settings["form"] != "fused" else None


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


_LOOP = """\
for x, y in loader:
    with torch.autocast("cuda", {dtype}):
        loss = criterion(model(x), y)
    {backward}
    optimizer.zero_grad()"""

REMEDIES: tuple[Remedy, ...] = (
    Remedy(
        "expandable", "same", "let reserved memory grow in place: expandable_segments:True",
        "export PYTORCH_ALLOC_CONF=expandable_segments:True  # not on Windows",
        _unchanged, EXPANDABLE,
    ),
    Remedy("fused", "same", "fused=True for the optimizer: no temporaries", "optimizer = {optimizer}", _fused),
    Remedy("loop", "same", "foreach=False for the optimizer: fewer temporaries", "optimizer = {optimizer}", _looped),
    Remedy(
        "bf16-amp", "rounding", "mixed precision: torch.autocast, bfloat16",
        _LOOP.format(dtype="torch.bfloat16", backward="loss.backward(); optimizer.step()"), _precision("bf16-amp"),
    ),
    Remedy(
        "fp16-amp", "rounding", "mixed precision: torch.autocast, float16, GradScaler",
        "scaler = torch.amp.GradScaler()\n" + _LOOP.format(
            dtype="torch.float16", backward="scaler.scale(loss).backward(); scaler.step(optimizer); scaler.update()"
        ),
        _precision("fp16-amp"),
    ),
    Remedy(
        "bf16", "rounding", "all in bfloat16, weights too: model.to(torch.bfloat16)",
        "model.to(torch.bfloat16)  # and the inputs: x.to(torch.bfloat16)", _precision("bf16"),
    ),
    *(
        Remedy(name, "other", f"{called} in place of the optimizer", "optimizer = {optimizer}", _optimizer(name))
        for name, called in (
            ("adamw", "AdamW"), ("adam8bit", "8-bit AdamW (bitsandbytes)"), ("adafactor", "Adafactor"),
            ("lion", "Lion"), ("momentum", "SGD with momentum"), ("sgd", "plain SGD"),
        )
    ),
    Remedy(
        "head-only", "other", "train the last layer alone, the others frozen",
        "for name, parameter in model.named_parameters():\n    parameter.requires_grad_(name in {kept})", _head_only,
    ),
)  # fmt: skip
BY_NAME = {remedy.name: remedy for remedy in REMEDIES}
ACCUMULATE = "accumulate"

# What is tried beside each row alone; the first name that has nothing to offer drops the whole combination.
COMBINATIONS: tuple[tuple[str, ...], ...] = (
    (ACCUMULATE,),
    ("bf16-amp", ACCUMULATE),
    ("adam8bit", ACCUMULATE),
)


def applied(names: tuple[str, ...], settings: Settings, program: Program) -> Settings | None:
    """The settings with all those remedies, accumulation aside; None when one has nothing to offer."""
    for name in names:
        changed = BY_NAME[name].changed(settings, program) if name != ACCUMULATE else settings
        if changed is None:
            return None
        settings = changed
    return settings


def made(settings: Settings) -> str:
    """The optimizer of the settings as Python."""
    form = {"fused": ", fused=True", "single": ", foreach=False"}.get(settings["form"] or "", "")
    return CLASSES[settings["optimizer"]].format(p="model.parameters(), lr=lr").removesuffix(")") + form + ")"


def what(name: str, settings: Settings, micro: int | None, is_any_number: bool) -> str:
    """What to do, in one line; `is_any_number` when any number of micro-batches fits."""
    if name != ACCUMULATE:
        return BY_NAME[name].what
    passes = "" if is_any_number else f"{settings['accumulate']} "
    return f"add up gradients of {passes}micro-batches of {micro}"


def code(names: tuple[str, ...], settings: Settings, program: Program) -> str:
    """The code to paste for all those remedies, in their order."""
    lines = []
    for name in names:
        if name == ACCUMULATE:
            lines.append(_ACCUMULATED.format(passes=settings["accumulate"]))
        else:
            lines.append(BY_NAME[name].code.format(optimizer=made(settings), kept=head(program)))
    return "\n".join(dict.fromkeys(lines))


_ACCUMULATED = """\
for i, (x, y) in enumerate(loader):  # the loader yields micro-batches
    (criterion(model(x), y) / {passes}).backward()
    if (i + 1) % {passes} == 0:
        optimizer.step(); optimizer.zero_grad()"""
