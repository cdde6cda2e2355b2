"""One real eager training step under torch's profiler -> every allocation, split as docs/training.md describes.

A tensor-level allocation outlives the outermost ATen operator that made it; the rest is that operator's workspace.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function

PHASES = ("forward", "backward", "optimizer", "zero")


@dataclass
class Allocation:
    """Bytes with the outermost operator and backward node of the allocation; `is_workspace` when freed inside it."""

    nbytes: int
    phase: str
    operator: str
    node: str
    is_workspace: bool = False


@dataclass
class StepTrace:
    """`baseline` bytes are there before the step; peaks include them."""

    baseline: int
    peak: int = 0
    phase_peak: dict[str, int] = field(default_factory=dict)
    at: tuple[str, str, str] = ("", "", "")
    full_peak: int = 0
    allocations: list[Allocation] = field(default_factory=list)
    events: list[tuple[int, Allocation]] = field(default_factory=list)
    live: list[Allocation] = field(default_factory=list)  # made in the step and alive at its peak


def step_trace(
    model: nn.Module,
    inputs: tuple[Any, ...],
    target: Tensor | None,
    loss_of: Callable[[Tensor, Tensor | None], Tensor],
    make_optimizer: Callable[[Any], torch.optim.Optimizer],
    accumulate: int = 1,
    autocast: torch.dtype | None = None,
    before: int = 1,
) -> StepTrace:
    """The step of a training loop after `before` others (the first makes the optimizer's state).

    With `accumulate` the loss is divided and several passes share a step; with `autocast` forward and loss run in that
    type, and in float16 a gradient scaler is used.
    """
    optimizer = make_optimizer([p for p in model.parameters() if p.requires_grad])
    mixed = torch.autocast("cpu", dtype=autocast) if autocast else nullcontext()
    scaler = torch.amp.GradScaler("cpu", enabled=autocast == torch.float16)

    def step(watch: bool) -> None:
        for _ in range(accumulate):
            with record_function("## forward"), mixed:
                out = model(*inputs)
                loss = loss_of(out, target) if accumulate == 1 else loss_of(out, target) / accumulate
            with record_function("## backward"):
                scaler.scale(loss).backward()
        with record_function("## optimizer"):
            scaler.step(optimizer)
            scaler.update()
        with record_function("## zero"):
            optimizer.zero_grad(set_to_none=True)
        del watch

    for _ in range(before):
        step(False)
    baseline = _baseline(model, optimizer, inputs, target) + (8 if scaler.is_enabled() else 0)  # scale and growth count
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as prof:
        step(True)
    trace = StepTrace(baseline)
    _replay(prof.profiler.kineto_results.experimental_event_tree(), trace)
    return trace


def forward_trace(model: nn.Module, inputs: tuple[Any, ...]) -> StepTrace:
    """The second forward run under no_grad; the output stays."""
    with torch.no_grad():
        first = model(*inputs)
        del first
        state = [*model.parameters(), *model.buffers(), *inputs]
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in state}
        watched = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
        with watched as prof, record_function("## forward"):
            out = model(*inputs)
    trace = StepTrace(sum(storages.values()))
    _replay(prof.profiler.kineto_results.experimental_event_tree(), trace)
    del out
    return trace


def _baseline(model: nn.Module, optimizer: torch.optim.Optimizer, inputs: Any, target: Any) -> int:
    tensors = [*model.parameters(), *model.buffers(), *(t for t in (*inputs, target) if isinstance(t, Tensor))]
    tensors += [v for state in optimizer.state.values() for v in state.values() if isinstance(v, Tensor)]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def _replay(roots: Any, trace: StepTrace) -> None:  # noqa: C901 (one walk, its visitor inside)
    found: list[tuple[int, int, int, str, str, str, int]] = []

    def visit(event: Any, phase: str, operator: tuple[str, int], node: str) -> None:
        name = event.name
        if name.startswith("## "):
            phase = name[3:]
        elif name.startswith("autograd::engine::evaluate_function: "):
            node = name.removeprefix("autograd::engine::evaluate_function: ")
        elif name.startswith("aten::") and not operator[0]:
            operator = (name, event.start_time_ns)
        elif name == "[memory]":
            extra = event.extra_fields
            found.append((event.start_time_ns, extra.alloc_size, extra.ptr, phase, *operator[:1], node, operator[1]))
        for child in event.children:
            visit(child, phase, operator, node)

    for root in roots:
        visit(root, "", ("", 0), "")
    found.sort(key=lambda row: row[0])
    live: dict[int, tuple[Allocation, int]] = {}
    for _, nbytes, pointer, phase, operator, node, opened in found:
        if nbytes > 0:
            allocation = Allocation(nbytes, phase, operator, node)
            live[pointer] = (allocation, opened)
            trace.allocations.append(allocation)
            trace.events.append((nbytes, allocation))
        elif pointer in live:
            allocation, first = live.pop(pointer)
            allocation.is_workspace = bool(operator) and opened == first
            trace.events.append((-allocation.nbytes, allocation))
    _add_up(trace)


def _add_up(trace: StepTrace) -> None:
    tensors = everything = trace.baseline
    live: dict[int, Allocation] = {}
    for nbytes, allocation in trace.events:
        everything += nbytes
        trace.full_peak = max(trace.full_peak, everything)
        if allocation.is_workspace:
            continue
        tensors += nbytes
        if nbytes < 0:
            del live[id(allocation)]
        else:
            live[id(allocation)] = allocation
            phase = allocation.phase
            trace.phase_peak[phase] = max(trace.phase_peak.get(phase, 0), tensors)
            if tensors > trace.peak:
                trace.peak = tensors
                trace.at = (phase, allocation.operator, allocation.node)
                trace.live = list(live.values())
