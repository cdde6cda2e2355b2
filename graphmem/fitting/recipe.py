"""Remedies, settings -> words and the PyTorch code to paste."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from graphmem.autograd.precision import PRECISIONS
from graphmem.autograd.segments import segments_of
from graphmem.fitting.remedies import ACCUMULATE, BY_NAME, head
from graphmem.ir.program import Program
from graphmem.ir.quoting import python_string

Settings: TypeAlias = Mapping[str, Any]

# How each optimizer is made.
CLASSES = {
    "sgd": "torch.optim.SGD({p})", "momentum": "torch.optim.SGD({p}, momentum=0.9)",
    "nesterov": "torch.optim.SGD({p}, momentum=0.9, nesterov=True)", "adam": "torch.optim.Adam({p})",
    "adamw": "torch.optim.AdamW({p})", "amsgrad": "torch.optim.AdamW({p}, amsgrad=True)",
    "nadam": "torch.optim.NAdam({p})", "radam": "torch.optim.RAdam({p})", "rmsprop": "torch.optim.RMSprop({p})",
    "adagrad": "torch.optim.Adagrad({p})", "adafactor": "torch.optim.Adafactor({p})", "muon": "torch.optim.Muon({p})",
    "lion": "lion_pytorch.Lion({p})", "adam8bit": "bitsandbytes.optim.AdamW8bit({p})",
}  # fmt: skip
_EXPANDABLE = "# in the shell, before Python starts; not on Windows\nexport PYTORCH_ALLOC_CONF=expandable_segments:True"
_CHECKPOINT = """\
from functools import partial
from torch.utils.checkpoint import checkpoint
blocks = {modules}
for name in blocks:
    block = model.get_submodule(name)
    block.forward = partial(checkpoint, block.forward, use_reentrant=False)"""
_HEAD = "for name, parameter in model.named_parameters():\n    parameter.requires_grad_(name in {kept})"
_QUANTIZE = """\
from torchao.quantization import {config}, quantize_
model.{half}()  # float inputs too
quantize_(model, {config}({given}))"""
_OFFLOAD = """\
from torchao.optim import CPUOffloadOptimizer
optimizer = CPUOffloadOptimizer(model.parameters(), {class_}, lr=lr)"""
_WHOLE = {
    "lora": """\
from peft import LoraConfig, get_peft_model
model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear"))""",
    "offload-activations": """\
with torch.autograd.graph.save_on_cpu(pin_memory=True):  # around the forward pass
    y = model(x)""",
    "expandable": _EXPANDABLE,
    "bf16": "model.to(torch.bfloat16)  # before the optimizer is made; float inputs too",
    "fp16": "model.half()  # float inputs too",
    "int8": _QUANTIZE.format(config="Int8WeightOnlyConfig", half="half", given=""),
    "int4": _QUANTIZE.format(config="Int4WeightOnlyConfig", half="bfloat16", given="group_size=128"),
}


def what(name: str, settings: Settings, micro: int | None, is_any_number: bool, is_training: bool) -> str:
    """What to do, in one line; `is_any_number` when any number of micro-batches fits."""
    if name != ACCUMULATE:
        return BY_NAME[name].what
    if not is_training:
        return f"run it in {settings['accumulate']} parts of {micro}"
    passes = "" if is_any_number else f"{settings['accumulate']} "
    return f"add up gradients of {passes}micro-batches of {micro}"


def code(names: Sequence[str], settings: Settings, program: Program, is_training: bool) -> str:
    """The code to paste for all those remedies together."""
    parts = [_prepared(name, settings, program) for name in names]
    is_loop = ACCUMULATE in names or any(name.endswith("-amp") for name in names)
    if is_loop:
        parts.append(_step(settings) if is_training else _run(settings))
    return "\n".join(dict.fromkeys(part for part in parts if part))


def _prepared(name: str, settings: Settings, program: Program) -> str:
    """What comes before the loop."""
    if name == "checkpoint":
        scopes = [segment.scope for segment in segments_of(program, settings["checkpoint"])]
        return _CHECKPOINT.format(modules=_listed(scopes))
    if name == "head-only":
        return _HEAD.format(kept=head(program))
    if name == "offload-optimizer":
        class_ = CLASSES[settings["optimizer"]].partition("(")[0]
        return _OFFLOAD.format(class_=class_)
    if name in _WHOLE:
        return _WHOLE[name]
    return "" if name == ACCUMULATE or name in PRECISIONS else f"optimizer = {_made(settings)}"


def _made(settings: Settings) -> str:
    """The optimizer of the settings as Python."""
    form = {"fused": ", fused=True", "single": ", foreach=False"}.get(settings["form"] or "", "")
    return CLASSES[settings["optimizer"]].format(p="model.parameters(), lr=lr").removesuffix(")") + form + ")"


def _listed(scopes: Sequence[str]) -> str:
    """Names as a Python expression of short lines."""
    if not all(re.fullmatch(r"[\w.:/-]+", scope) for scope in scopes):
        return "[\n" + "".join(f"    {python_string(scope)},\n" for scope in scopes) + "]"
    lines = textwrap.wrap(" ".join(scopes), 72)
    return f"{lines[0]!r}.split()" if len(lines) == 1 else '"""\n' + "\n".join(lines) + '\n""".split()'


def _step(settings: Settings) -> str:
    """The training loop of the settings."""
    precision, passes = PRECISIONS[settings["precision"]], settings["accumulate"]
    scaled = "scaler.scale(loss)" if precision.is_scaled else "loss"
    update = "scaler.step(optimizer); scaler.update()" if precision.is_scaled else "optimizer.step()"
    over = f" / {passes}" if passes > 1 else ""
    body = ["loss = criterion(model(x), y)" + over]
    if precision.autocast:
        body = [f'with torch.autocast("cuda", torch.{precision.autocast}):', *(f"    {line}" for line in body)]
    body.append(f"{scaled}.backward()")
    after = [update, "optimizer.zero_grad()"]
    if passes > 1:
        after = [f"if (i + 1) % {passes} == 0:", *(f"    {line}" for line in after)]
    head_ = "for i, (x, y) in enumerate(loader):  # which yields micro-batches" if passes > 1 else "for x, y in loader:"
    scaler = ["scaler = torch.amp.GradScaler()"] if precision.is_scaled else []
    return "\n".join([*scaler, head_, *(f"    {line}" for line in (*body, *after))])


def _run(settings: Settings) -> str:
    """The forward run of the settings."""
    parts = settings["accumulate"]
    lower = PRECISIONS[settings["precision"]].autocast if settings["precision"] in PRECISIONS else ""
    inside = f', torch.autocast("cuda", torch.{lower})' if lower else ""
    call = f"torch.cat([model(part).cpu() for part in x.chunk({parts})])" if parts > 1 else "model(x)"
    return f"with torch.no_grad(){inside}:\n    y = {call}"
