"""RuntimeGraph -> the figures of a run under session options, and which options would lower them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from graphmem.ir.memory import Lifetimes, Timeline
from graphmem.ir.runtime import Advice, OnnxRuntimeMemory, RuntimeGraph, SessionOptions
from graphmem.memory.bfc_runs import arena_held
from graphmem.memory.liveness import lifetimes, timeline
from graphmem.memory.pattern import pattern_peak
from graphmem.runtime.versions import is_known
from graphmem.schedule.onnxruntime import RuntimePlan, runtime_plan


@dataclass(frozen=True, slots=True)
class Prediction:
    """One set of options: the plan, its timeline, and the figures."""

    plan: RuntimePlan
    lifetimes: Lifetimes
    timeline: Timeline
    memory: OnnxRuntimeMemory


def predicted(runtime: RuntimeGraph, options: SessionOptions) -> Prediction:
    """What a session with these options allocates."""
    plan = runtime_plan(runtime, options.reuse, options.execution_order)
    alive = lifetimes(plan.schedule)
    live = timeline(alive, plan.schedule)
    rest = plan.schedule, plan.numbers, plan.is_output
    memory = OnnxRuntimeMemory(
        version=runtime.version,
        is_known_version=is_known(runtime.version),
        options=options,
        first_run_peak=live.peak,
        pattern_peak=pattern_peak(*rest) if options.pattern else None,
        arena=arena_held(*rest, plan.workspaces, options.pattern) if options.arena else None,
    )
    return Prediction(plan, alive, live, memory)


# What to change, in Python, and the options with it.
CHANGES: tuple[tuple[str, tuple[str, ...], dict[str, bool | str]], ...] = (
    ("buffer reuse off", ("options.enable_mem_reuse = False",), {"reuse": False}),
    ("memory pattern off", ("options.enable_mem_pattern = False",), {"pattern": False}),
    (
        "reuse and pattern off",
        ("options.enable_mem_reuse = False", "options.enable_mem_pattern = False"),
        {"reuse": False, "pattern": False},
    ),
    (
        "priority-based execution order",
        ("options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED",),
        {"execution_order": "priority"},
    ),
    (
        "priority-based order, reuse and pattern off",
        (
            "options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED",
            "options.enable_mem_reuse = False",
            "options.enable_mem_pattern = False",
        ),
        {"reuse": False, "pattern": False, "execution_order": "priority"},
    ),
)


def worst(memory: OnnxRuntimeMemory) -> int:
    """The higher of the first run's peak and that of later ones."""
    return max(memory.first_run_peak, memory.later_peak)


def advice(runtime: RuntimeGraph, now: OnnxRuntimeMemory) -> tuple[Advice, ...]:
    """Changes of session options that lower the peak over first and later runs, the greatest saving first."""
    found = []
    for change, code, fields in CHANGES:
        options = replace(now.options, **fields)
        if options == now.options:
            continue
        then = predicted(runtime, replace(options, arena=False)).memory
        saving = worst(now) - worst(then)
        if saving > 0:
            found.append(Advice(change, "\n".join(code), then.first_run_peak, then.later_peak, saving))
    return tuple(sorted(found, key=lambda row: (-row.saving, len(row.code), row.change)))
