"""Analysis or Training -> Sheet: the headline figures and notes above the pictures of one run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from graphmem.ir.analysis import Analysis
from graphmem.ir.graph import Exactness, Issue
from graphmem.ir.memory import Plan
from graphmem.ir.quoting import markup
from graphmem.ir.training import PHASES, Training
from graphmem.report.envelope import others_said
from graphmem.report.notes import READINGS, Note, inferred_notes, issue_notes, question_notes
from graphmem.report.units import SIGNS, count, size

SHOWN_PASSES = 2  # of accumulated ones, those that the engine runs


@dataclass(frozen=True, slots=True)
class Card:
    """A figure, what it is, and the small print under it. `kind` is a class of the page's style."""

    what: str
    figure: str
    small: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What stands above the pictures; `sign` goes before every figure that may be incomplete."""

    sign: str
    cards: tuple[Card, ...]
    notes: tuple[Note, ...]


def inference_sheet(analysis: Analysis, plan: Plan | None, device: int | None) -> Sheet:
    """The forward run."""
    cards = tuple(_inference_cards(analysis, plan, device))
    return Sheet(SIGNS[analysis.exactness], cards, _notes(analysis.issues, analysis.exactness))


def training_sheet(training: Training, device: int | None) -> Sheet:
    """The training step."""
    concluded = (*question_notes(training.questions), *inferred_notes(training.inferred), *_beside(training))
    cards = tuple(_training_cards(training, device))
    return Sheet(SIGNS[training.exactness], cards, (*concluded, *_notes(training.issues, training.exactness)))


def cards_html(sheet: Sheet) -> str:
    """The figures as definitions."""
    return "".join(
        f'<div class="{c.kind}"><dt>{markup(c.what)}</dt>'
        f"<dd>{markup(c.figure)}<small>{markup(c.small)}</small></dd></div>"
        for c in sheet.cards
    )


def notes_html(sheet: Sheet) -> str:
    """The notes as items of a list."""
    return "".join(f"<li><b>{markup(note.label or 'more')}</b> {markup(note.text)}</li>" for note in sheet.notes)


def settings_text(training: Training) -> str:
    """The step that the figures are of: "cross_entropy loss, adamw (foreach), cuda, bf16-amp"."""
    settings = training.settings
    parts = [f"{settings.loss} loss", f"{settings.optimizer} ({settings.optimizer_form})", settings.device]
    parts += [settings.precision] if settings.precision != "fp32" else []
    parts += [f"{settings.accumulate} passes a step"] if settings.accumulate > 1 else []
    parts += [f"checkpoint {' '.join(settings.checkpoint)}"] if settings.checkpoint else []
    parts += [f"LoRA {settings.lora}"] if settings.lora else []
    parts += [f"{' and '.join(settings.offload)} in host memory"] if settings.offload else []
    parts += others_said(settings)
    return ", ".join([*parts, *([f"frozen {' '.join(settings.freeze)}"] if settings.freeze else [])])


def _inference_cards(analysis: Analysis, plan: Plan | None, device: int | None) -> Iterable[Card]:
    sign, run = SIGNS[analysis.exactness], analysis.inference
    yield Card("peak", sign + size(analysis.peak_with_weights), "weights + activations", "lead")
    yield Card("weights", size(analysis.model.weight_bytes), f"{count(analysis.model.parameters)} parameters")
    yield Card("activations at peak", sign + size(run.peak), f"{run.peak:,} bytes")
    if plan is not None:
        proof = "proved least" if plan.is_optimal else f"{plan.gap:.1%} above the bound"
        yield Card("arena", sign + size(plan.arena), f"{proof} · {plan.method}")
    yield Card("without reuse", sign + size(run.total_bytes), "all buffers together")
    if run.is_optimal_order and analysis.is_complete:
        yield Card("order", "optimal", "no order has a lower peak")
    yield from _device_card(analysis.peak_with_weights, analysis.exactness, device, "peak")


def _training_cards(training: Training, device: int | None) -> Iterable[Card]:
    sign, parts, found = SIGNS[training.exactness], training.breakdown, training.allocator
    where = f"{training.peak_phase}, {training.peak_operator}"
    if training.questions:
        where = f"between {size(training.least)} and {size(training.most)} · {where}"
    yield Card("peak", sign + size(training.peak), where, "lead")
    phases = [f"{phase} {sign}{size(training.phase_peaks[phase])}" for phase in PHASES]
    yield Card("most in each phase", sign + size(training.phase_peaks["forward"]), " · ".join(["forward", *phases[1:]]))
    yield Card("saved activations", sign + size(training.saved_bytes), "wait for the backward pass")
    held = f"parameters {size(parts['parameters'])}, optimizer state {size(parts['optimizer_state'])}"
    yield Card("before the step", size(training.baseline), held)
    if parts["workspace"]:
        yield Card("workspace", sign + size(parts["workspace"]), "of the operator, beside the peak")
    if found is not None:
        beside = f"allocated {size(found.allocated)}; beside it a context of about {size(found.context)}"
        yield Card("allocator reserves", sign + size(found.reserved), beside)
        exactness = "at least" if found.may_hold_more else training.exactness
        yield from _device_card(found.reserved, exactness, device, "reserved")
    else:
        yield from _device_card(training.most, training.exactness, device, "peak")


def _device_card(figure: int, exactness: Exactness, device: int | None, what: str) -> Iterable[Card]:
    if device is None:
        return
    share = f"{what}: {figure / device:.0%} of {size(device)}" if device else "no memory"
    if figure > device:  # an upper bound that is too much says nothing yet
        yield Card("device", "may not fit" if exactness in ("at most", "between") else "does not fit", share, "bad")
    elif exactness == "at least":
        yield Card("device", "not proved", f"{share}, and incomplete", "bad")
    else:
        yield Card("device", "fits", share)


def _notes(issues: Sequence[Issue], exactness: Exactness) -> tuple[Note, ...]:
    bound = [] if exactness == "exact" else [Note("incomplete", f"every figure here is {READINGS[exactness]}")]
    return (*issue_notes(issues), *bound)


def _beside(training: Training) -> Iterable[Note]:
    """What of the step is not shown or not counted."""
    if training.settings.accumulate > SHOWN_PASSES:
        passes = f"{SHOWN_PASSES} of {training.settings.accumulate} are shown; each later one is like the second"
        yield Note("passes", passes)
    if training.allocator is not None:
        for text in training.allocator.unknown:
            yield Note("not counted", text)
