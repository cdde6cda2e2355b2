"""Analysis, Profiles -> one HTML page that needs nothing else: style, script, drawings and data in a single file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from string import Template

from graphmem.ir.analysis import Analysis
from graphmem.ir.profile import Profile
from graphmem.ir.types import TensorType
from graphmem.report.page_data import page_document
from graphmem.report.picture import peak_title, picture
from graphmem.report.svg import escaped, graph_style, svg
from graphmem.report.units import SIGNS, count, shape, size

SCRIPTS = ("data.js", "charts.js", "maps.js", "table.js", "run.js", "main.js")
NOTES_SHOWN = 8


def report_html(analysis: Analysis, profiles: Sequence[Profile], device: int | None = None) -> str:
    """The page: a tab for each profile; `device` draws a line at that many bytes."""
    sign = SIGNS[analysis.exactness]
    documents = [page_document(profile, sign, device) for profile in profiles]
    return _file("page.html").substitute(
        title=escaped(analysis.model.name),
        subtitle=escaped(_subtitle(analysis)),
        cards="".join(_card(*card) for card in _cards(analysis, profiles, device)),
        notes="".join(_notes(analysis)),
        tabs=_tabs(profiles),
        runs="".join(_run(analysis, profile) for profile in profiles),
        style=_text("page.css") + graph_style(),
        data=_json(documents),
        script="".join(_text(name) for name in SCRIPTS),
    )


def _text(name: str) -> str:
    return files("graphmem.report").joinpath("page").joinpath(name).read_text(encoding="utf-8")


def _file(name: str) -> Template:
    return Template(_text(name))


def _json(value: object) -> str:
    """JSON that no text of the model can end early: inside a script element only "<" has a meaning."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _subtitle(analysis: Analysis) -> str:
    model, run = analysis.model, analysis.inference
    inputs = [f"{n} {t.dtype} {shape(t)}" for n, t in model.inputs.items() if isinstance(t, TensorType)]
    parts = [f"{len(run.schedule.steps)} steps", f"{count(model.parameters)} parameters", *inputs]
    opset = model.opsets.get("")
    parts += [f"opset {opset}"] if opset else []
    return " · ".join([*parts, f"{run.memory_model} memory model, {run.order} order"])


def _cards(analysis: Analysis, profiles: Sequence[Profile], device: int | None) -> Iterable[tuple[str, str, str, str]]:
    """(class, what, figure, small print)."""
    sign, run = SIGNS[analysis.exactness], analysis.inference
    yield "lead", "peak", sign + size(analysis.peak_with_weights), "weights + activations"
    yield "", "weights", size(analysis.model.weight_bytes), f"{count(analysis.model.parameters)} parameters"
    yield "", "activations at peak", sign + size(run.peak), f"{run.peak:,} bytes"
    for profile in profiles:
        if profile.plan is not None:
            proof = "proved least" if profile.plan.is_optimal else f"{profile.plan.gap:.1%} above the bound"
            yield "", "arena", sign + size(profile.plan.arena), f"{proof} · {profile.plan.method}"
    yield "", "without reuse", sign + size(run.total_bytes), "all buffers together"
    if run.is_optimal_order and analysis.is_complete:
        yield "", "order", "optimal", "no order has a lower peak"
    if device is not None:
        fits = analysis.peak_with_weights <= device
        share = f"{analysis.peak_with_weights / device:.0%} of {size(device)}" if device else "no memory"
        yield "" if fits else "bad", "device", "fits" if fits else "does not fit", share


def _card(kind: str, what: str, figure: str, small: str) -> str:
    return (
        f'<div class="{kind}"><dt>{escaped(what)}</dt><dd>{escaped(figure)}<small>{escaped(small)}</small></dd></div>'
    )


def _notes(analysis: Analysis) -> Iterable[str]:
    roots = [issue for issue in analysis.issues if issue.is_root]
    for issue in roots[:NOTES_SHOWN]:
        yield f"<li><b>{escaped(issue.kind)}</b> {escaped(issue.where)}: {escaped(issue.what)}</li>"
    if len(analysis.issues) > min(len(roots), NOTES_SHOWN):
        yield f"<li>and {len(analysis.issues) - min(len(roots), NOTES_SHOWN)} more that follow from these</li>"
    if not analysis.is_complete:
        bound = {"at most": "an upper bound", "at least": "a lower bound"}[analysis.exactness]
        yield f"<li><b>incomplete</b> every figure here is {bound}</li>"


def _tabs(profiles: Sequence[Profile]) -> str:
    if len(profiles) < 2:
        return ""
    tabs = "".join(f'<button type="button" role="tab">{escaped(_tab(profile))}</button>' for profile in profiles)
    return f'<div class="tabs" role="tablist">{tabs}</div>'


def _tab(profile: Profile) -> str:
    return f"{profile.name} {size(profile.standing + profile.timeline.peak)}"


def _run(analysis: Analysis, profile: Profile) -> str:
    plan = profile.plan
    has_phases = len({step.phase for step in profile.schedule.steps}) > 1
    around = f"{peak_title(analysis, profile)}: {len(profile.rows_at_peak)} tensors alive, in the colour of the peak"
    return _file("run.html").substitute(
        over="by kind" if has_phases else "what every step makes, reads and holds for later",
        blocks="the phases" if has_phases else "cut where a single tensor is alive, but for small and long-lived ones",
        plan="" if plan is None else escaped(f"{size(plan.arena)} by {plan.method}, bound {size(plan.lower_bound)}"),
        plan_hidden="hidden" if plan is None else "",
        modules_hidden="hidden" if len(profile.scopes) < 2 else "",
        around=escaped(around),
        graph=svg(picture(profile, around), is_standalone=False),
    )
