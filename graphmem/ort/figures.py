"""RuntimeGraph -> the figures of a run under session options, and which options would lower them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from graphmem.ir.memory import Lifetimes, Timeline
from graphmem.ir.runtime import Advice, OnnxRuntimeMemory, RuntimeGraph, SessionOptions
from graphmem.memory.liveness import lifetimes, timeline
from graphmem.ort.arena import arena_held, pattern_peak
from graphmem.ort.graph import is_known
from graphmem.ort.plan import Needs, RuntimePlan, runtime_plan


@dataclass(frozen=True, slots=True)
class Prediction:
    """One set of options: the plan, its timeline, and the figures."""

    plan: RuntimePlan
    lifetimes: Lifetimes
    timeline: Timeline
    memory: OnnxRuntimeMemory


def predicted(runtime: RuntimeGraph, options: SessionOptions, needs: Needs | None = None) -> Prediction:
    """What a session with these options allocates; `needs` serve several predictions of one graph."""
    plan = runtime_plan(runtime, options.reuse, options.execution_order, needs)
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


@dataclass(frozen=True, slots=True)
class Change:
    """Something to change about the session, in words, in Python, and applied to options."""

    words: str
    code: tuple[str, ...]
    applied: Callable[[SessionOptions], SessionOptions]


_NO_REUSE = "options.enable_mem_reuse = False"
_NO_PATTERN = "options.enable_mem_pattern = False"
_PRIORITY = "options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED"
CHANGES = (
    Change("buffer reuse off", (_NO_REUSE,), lambda o: replace(o, reuse=False)),
    Change("memory pattern off", (_NO_PATTERN,), lambda o: replace(o, pattern=False)),
    Change("reuse and pattern off", (_NO_REUSE, _NO_PATTERN), lambda o: replace(o, reuse=False, pattern=False)),
    Change("priority-based execution order", (_PRIORITY,), lambda o: replace(o, execution_order="priority")),
    Change(
        "priority-based order, reuse and pattern off",
        (_PRIORITY, _NO_REUSE, _NO_PATTERN),
        lambda o: replace(o, reuse=False, pattern=False, execution_order="priority"),
    ),
)


def worst(memory: OnnxRuntimeMemory) -> int:
    """The higher of the first run's peak and that of later ones."""
    return max(memory.first_run_peak, memory.later_peak)


def advice(runtime: RuntimeGraph, now: OnnxRuntimeMemory) -> tuple[Advice, ...]:
    """Changes of session options that lower the peak over first and later runs, the greatest saving first."""
    found, needs = [], Needs(runtime)
    for change in CHANGES:
        options = change.applied(now.options)
        if options == now.options:
            continue
        then = predicted(runtime, replace(options, arena=False), needs).memory
        saving = worst(now) - worst(then)
        if saving > 0:
            found.append(Advice(change.words, "\n".join(change.code), then.first_run_peak, then.later_peak, saving))
    return tuple(sorted(found, key=lambda row: (-row.saving, len(row.code), row.change)))
