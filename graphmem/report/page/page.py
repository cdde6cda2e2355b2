"""Analysis, Profiles -> one HTML page that needs nothing else: style, script, drawings and data in a single file."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from string import Template
from typing import Any

from graphmem.ir.analysis import Analysis
from graphmem.ir.profile import Profile
from graphmem.ir.quoting import markup, script_json
from graphmem.ir.training import Training
from graphmem.ir.types import TensorType
from graphmem.report.drawing.picture import MARKS, has_checkpoints, peak_title, picture
from graphmem.report.drawing.svg import graph_style, svg
from graphmem.report.page.curve import Curve, curve_document, curve_title
from graphmem.report.page.data import page_document
from graphmem.report.page.sheets import Sheet, cards_html, inference_sheet, notes_html, settings_text, training_sheet
from graphmem.report.units import count, shape, size

SCRIPTS = ("theme.js", "data.js", "charts.js", "maps.js", "table.js", "run.js", "main.js")


def report_html(
    analysis: Analysis,
    profiles: Sequence[Profile],
    device: int | None = None,
    training: Training | None = None,
    frontier: Curve | None = None,
    chosen: int | None = None,
) -> str:
    """The page: a tab for each profile; `device` draws a line at that many bytes.

    The profile called "training" is that of `training`; on its tab is the `frontier`, with the number of its plan to
    point out.
    """
    sheets = [_sheet(analysis, profile, training, device) for profile in profiles]
    frontiers = [frontier if profile.name == "training" else None for profile in profiles]
    documents = [
        page_document(profile, sheet.sign, device)
        | ({} if found is None else {"frontier": curve_document(found, chosen)})
        for profile, sheet, found in zip(profiles, sheets, frontiers, strict=True)
    ]
    has_training = any(document["saved"] or "frontier" in document for document in documents)
    scripts = (*SCRIPTS[:-2], "training.js", *SCRIPTS[-2:]) if has_training else SCRIPTS
    return _file("page.html").substitute(
        title=markup(analysis.model.name),
        subtitle=markup(_subtitle(analysis, training)),
        tabs=_tabs(profiles, sheets),
        runs="".join(map(_run, profiles, sheets, documents, frontiers)),
        style=_text("page.css") + graph_style(),
        data=script_json(documents),
        script="".join(_text(name) for name in scripts),
    )


def _sheet(analysis: Analysis, profile: Profile, training: Training | None, device: int | None) -> Sheet:
    if profile.name == "training" and training is not None:
        return training_sheet(training, device)
    return inference_sheet(analysis, profile.plan, device)


def _text(name: str) -> str:
    return files("graphmem.report").joinpath("page").joinpath(name).read_text(encoding="utf-8")


def _file(name: str) -> Template:
    return Template(_text(name))


def _subtitle(analysis: Analysis, training: Training | None) -> str:
    model, run = analysis.model, analysis.inference
    inputs = [f"{n} {t.dtype} {shape(t)}" for n, t in model.inputs.items() if isinstance(t, TensorType)]
    parts = [f"{len(run.schedule.steps)} steps", f"{count(model.parameters)} parameters", *inputs]
    opset = model.opsets.get("")
    parts += [f"opset {opset}"] if opset else []
    parts.append(f"{run.memory_model} memory model, {run.order} order")
    return " · ".join([*parts, *([] if training is None else [f"training: {settings_text(training)}"])])


def _tabs(profiles: Sequence[Profile], sheets: Sequence[Sheet]) -> str:
    if len(profiles) < 2:
        return ""
    tabs = "".join(
        f'<button type="button" role="tab">{markup(_tab(profile, sheet.sign))}</button>'
        for profile, sheet in zip(profiles, sheets, strict=True)
    )
    return f'<div class="tabs" role="tablist">{tabs}</div>'


def _tab(profile: Profile, sign: str) -> str:
    return f"{profile.name} {sign}{size(profile.standing + profile.timeline.peak)}"


def _run(profile: Profile, sheet: Sheet, document: dict[str, Any], frontier: Curve | None) -> str:
    plan = profile.plan
    is_training = len({step.phase for step in profile.schedule.steps}) > 1
    around = f"{peak_title(profile, sheet.sign)}: {len(profile.rows_at_peak)} tensors alive, in the colour of the peak"
    around += f"; {MARKS}" if has_checkpoints(profile) else ""
    saved = f"of {document['saved']} that wait for the backward pass" if document["saved"] else ""
    return _file("run.html").substitute(
        cards=cards_html(sheet),
        notes=notes_html(sheet),
        over="by kind" if is_training else "what every step makes, reads and holds for later",
        blocks="the phases, cut by module"
        if is_training
        else "cut where a single tensor is alive, but for small and long-lived ones",
        plan="" if plan is None else markup(f"{size(plan.arena)} by {plan.method}, bound {size(plan.lower_bound)}"),
        plan_hidden="hidden" if plan is None else "",
        modules_hidden="hidden" if len(profile.scopes) < 2 else "",
        saved=saved,
        saved_hidden="" if saved else "hidden",
        frontier="" if frontier is None else markup(curve_title(frontier, document["frontier"]["chosen"])),
        frontier_hidden="hidden" if frontier is None else "",
        around=markup(around),
        graph=svg(picture(profile, around), is_standalone=False),
    )
