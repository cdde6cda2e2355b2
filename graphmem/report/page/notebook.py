"""Analysis or Training, Profile -> the inline picture of a notebook: figures and timeline, HTML without any script."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphmem.ir.analysis import Analysis
from graphmem.ir.memory import IntColumn
from graphmem.ir.profile import Profile
from graphmem.ir.quoting import markup
from graphmem.ir.training import Training
from graphmem.report.drawing.picture import peak_title
from graphmem.report.drawing.svg import PEAK
from graphmem.report.notes import Note, inferred_notes, issue_notes
from graphmem.report.page.sheets import settings_text
from graphmem.report.units import SIGNS, size

WIDTH, HEIGHT, TOP = 900, 150, 24
HUES = {
    "inputs": "#76b7b2", "held": "#4e79a7", "read": "#f28e2b", "made": "#edc948", "workspace": "#d37295",
    "parameter": "#7d8797", "optimizer_state": "#9c755f", "buffer": "#bab0ac", "constant": "#d4cdc7",
    "input": "#76b7b2", "gradient": "#b07aa1", "saved activation": "#f28e2b", "recomputed activation": "#59a14f",
    "activation": "#ffbe7d", "temporary": "#e15759",
}  # fmt: skip
OTHER_HUE = "#bab0ac"


def analysis_html(analysis: Analysis, profile: Profile) -> str:
    """The block that Jupyter shows for an Analysis."""
    sign = SIGNS[analysis.exactness]
    head = (
        f"<b>{markup(analysis.model.name)}</b> {sign}{size(analysis.peak_with_weights)} = weights "
        f"{size(analysis.model.weight_bytes)} + activations {sign}{size(analysis.inference.peak)}"
    )
    return _block(head, profile, sign, issue_notes(analysis.issues))


def training_html(training: Training, profile: Profile) -> str:
    """The block that Jupyter shows for a Training."""
    sign = SIGNS[training.exactness]
    made_of = " + ".join(
        f"{name.replace('_', ' ')} {size(nbytes)}"
        for name, nbytes in training.breakdown.items()
        if nbytes and name != "workspace"
    )
    head = f"<b>{markup(training.model.name)}</b> training step {sign}{size(training.peak)} = {made_of}"
    notes = [*inferred_notes(training.inferred), *issue_notes(training.issues)]
    return _block(f"{head}<div>{markup(settings_text(training))}</div>", profile, sign, notes)


def _block(head: str, profile: Profile, sign: str, notes: Sequence[Note]) -> str:
    legend = " ".join(
        f'<span style="color:{HUES.get(band.kind, OTHER_HUE)}">■</span> {markup(band.kind.replace("_", " "))}'
        for band in profile.bands
    )
    inside = f"<div>{head}</div>{_timeline(profile, sign)}<div>{legend}</div>{_listed(notes)}"
    return f'<div style="font:13px sans-serif">{inside}</div>'


def _listed(notes: Sequence[Note]) -> str:
    items = (f"<li>{f'<b>{markup(note.label)}</b> ' if note.label else ''}{markup(note.text)}</li>" for note in notes)
    return f"<ul>{''.join(items)}</ul>" if notes else ""


def _timeline(profile: Profile, sign: str) -> str:
    live = profile.timeline.live
    if not live.size:
        return ""
    steps, edges = _columns(live)
    floor = np.zeros(len(steps), dtype=np.int64)
    paths = []
    for band in profile.bands:
        ceiling = floor + band.live[steps]
        outline = _outline(ceiling, floor, edges, live.size, max(profile.timeline.peak, 1))
        paths.append(f'<path d="{outline}" fill="{HUES.get(band.kind, OTHER_HUE)}"/>')
        floor = ceiling
    x = (profile.timeline.peak_step + 0.5) / live.size * WIDTH
    anchor = "start" if x < WIDTH / 2 else "end"
    stem = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT}" stroke="{PEAK}" stroke-width="2"/>'
    title = markup(peak_title(profile, sign))
    label = f'<text x="{x:.1f}" y="15" text-anchor="{anchor}" fill="{PEAK}">{title}</text>'
    area = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="100%" style="max-width:{WIDTH}px;font:12px sans-serif"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {area}>{"".join(paths)}{stem}{label}</svg>'


def _columns(live: IntColumn) -> tuple[IntColumn, IntColumn]:
    """Steps to draw, of every column the one with the most bytes, and where the columns end."""
    edges = np.unique(np.linspace(0, live.size, min(live.size, WIDTH) + 1).astype(np.int64))
    best = [int(a + live[a:b].argmax()) for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]
    return np.array(best, dtype=np.int64), edges


def _outline(upper: IntColumn, lower: IntColumn, edges: IntColumn, steps: int, peak: int) -> str:
    """Stairs along `upper` and back along `lower`."""
    x = edges / steps * WIDTH
    there = [(x[i + side], upper[i]) for i in range(len(upper)) for side in (0, 1)]
    back = [(x[i + side], lower[i]) for i in reversed(range(len(lower))) for side in (1, 0)]
    return "M" + "L".join(f"{a:.1f} {HEIGHT - b / peak * (HEIGHT - TOP):.1f}" for a, b in [*there, *back]) + "Z"
