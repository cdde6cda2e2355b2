"""Limits, figures of one model -> Gates: what CI allows the model to need, held against what it needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from graphmem.fitting.accelerator import accelerator
from graphmem.ir.analysis import Analysis
from graphmem.ir.device import Device
from graphmem.ir.fit import Need
from graphmem.ir.gate import Gate
from graphmem.ir.memory import Plan
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
    def is_any(self) -> bool:
        """True when something is limited; a batch alone limits nothing."""
        return self.has_peak or any(
            limit is not None for limit in (self.max_activations, self.max_weights, self.max_arena, self.baseline)
        )

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
        yield gate("max-train-peak", "training peak", training.peak, limits.max_train_peak, is_proved, where)
    if limits.device is not None:
        on = accelerator(limits.device)
        figure, unknown = training.peak, on.uncounted
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
