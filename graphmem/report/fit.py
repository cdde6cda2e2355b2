"""Fit -> the terminal answer (yes or no, why, memory over batch, what else fits) and JSON (graphmem.fit/1)."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from graphmem.ir.device import CONTEXT_BYTES, DISPLAY_BYTES
from graphmem.ir.fit import Candidate, Fit, Need, Option, Paging
from graphmem.ir.quoting import json_text, name_shown
from graphmem.report.devices import device_document
from graphmem.report.envelope import issue_documents, question_documents, schema_name
from graphmem.report.fit_options import ROWS, figure, options_parts
from graphmem.report.notes import Note, issue_notes, note_lines, question_notes
from graphmem.report.terminal import plain_table, printed, width_of
from graphmem.report.units import size


def fit_text(fit: Fit, width: int = 80, color: bool = False, explain: bool = False) -> str:
    """The answer, `width` columns wide; with `explain` the code of each option."""
    parts = [one for part in _parts(fit, width_of(width), explain) for one in (part, "")]
    return printed(parts, width, color)


def _parts(fit: Fit, width: int, explain: bool) -> Iterable[RenderableType]:
    yield _headline(fit)
    yield _verdict(fit)
    yield _reasons(fit, width)
    if len(fit.curve) > 1:
        yield _curve(fit, width)
    if fit.device is None:
        yield _devices(fit.candidates)
    yield from options_parts(fit, explain)
    if fit.paging is not None:
        yield _paging(fit.paging, width)
    yield _host(fit)
    notes = note_lines(
        [*question_notes(fit.questions), *issue_notes(fit.issues), *(Note("note", note) for note in fit.notes)]
    )
    if notes:
        yield Text("\n").join(notes)


def _paging(paging: Paging, width: int) -> Text:
    """What is left where nothing fits."""
    told = (
        f"nothing else fits. Managed memory that pages would run it: at least {size(paging.nbytes)} come back over the "
        f"link in every step, {paging.seconds:.2g} s on {paging.link}, beside what is written out"
    )
    return Text("\n".join(textwrap.wrap(told, width)))


def _headline(fit: Fit) -> Text:
    asked = ["inference"]
    if fit.mode == "training":
        s = fit.settings
        asked = ["training", s["loss"], s["optimizer"], s["precision"]]
        asked += [f"{s['accumulate']} passes"] if s["accumulate"] > 1 else []
    line = Text("graphmem ", style="dim").append(name_shown(fit.model.name), style="bold not dim")
    where = f" on {fit.device.name}" if fit.device else ", on which device?"
    return line.append("   " + " · ".join(asked)).append(where)


def _verdict(fit: Fit) -> Text:
    word, rest = _sentence(fit)
    style = "bold green" if fit.fits else "bold red"
    text = Text(word, style=style).append(rest, style="bold")
    if not fit.is_proved:
        text.append(f"\n{_doubt(fit)}", style="yellow")
    if fit.worst is not None:
        text.append(f"\n{_surely(fit, fit.worst)}", style="yellow")
    return text


def _surely(fit: Fit, worst: Need) -> str:
    """What holds whatever the answers to the open questions are."""
    what = " and ".join(question.what for question in fit.questions)
    upto = f"up to batch {fit.surely.batch} surely" if fit.surely and fit.surely.batch else "at no batch surely"
    if fit.largest is None or fit.device is None:
        upto = f"{size(worst.compared)} at most"
    return f"the file leaves {what} open, notes below: {upto}"


def _sentence(fit: Fit) -> tuple[str, str]:
    need = fit.need
    batch = "the step" if need.batch is None else f"batch {need.batch}"
    if fit.device is None:
        number = len(fit.candidates)
        return (
            ("yes", f": {batch} fits {number} devices of the catalogue") if number else ("no", ": no device has room")
        )
    if need.compared > fit.usable:
        short = size(need.compared - fit.usable)
        upto = f"; {fit.largest.batch} is the largest batch that fits" if fit.largest and fit.largest.batch else ""
        return "no", f": {batch} needs {figure(need)}, {short} more than there is{upto}"
    if fit.largest is None:
        return "yes", f": {batch} needs {figure(need)}, {size(fit.usable - need.compared)} to spare"
    upto = f"batch {fit.largest.batch} is the largest that fits" + (
        f" ({fit.largest.refused} does not)" if fit.largest.refused else " that was looked at"
    )
    if fit.batch_asked is None:
        return "yes", f": {upto}"
    return "yes", f": {batch} needs {figure(need)}, {size(fit.usable - need.compared)} to spare; {upto}"


def _doubt(fit: Fit) -> str:
    missing = sorted({_library(what) for what in fit.need.uncounted})
    if fit.fits and fit.worst is not None and fit.worst.compared > fit.usable:
        return f"not proved: it needs up to {size(fit.worst.compared)}, by what the file does not tell"
    if fit.fits:
        return "not proved: " + (
            " and ".join(missing) + " is not counted" if missing else "the figures are lower bounds"
        )
    return "not proved: the figures are upper bounds"


def _library(what: str) -> str:
    return "cuDNN's scratch memory, chosen on the card," if what.startswith("cuDNN") else what


def _reasons(fit: Fit, width: int) -> Text:
    lines = []
    shown = next((n for n in fit.curve if fit.largest and n.batch == fit.largest.batch), fit.need)
    at = "" if shown.batch is None else f" at batch {shown.batch}"
    tensors = "" if shown.reserved is None else f"; its tensors peak at {size(shown.peak)}"
    lines += _wrapped("needs", f"{figure(shown)}{at}, {fit.compared}{tensors}", width)
    if fit.device is not None:
        lines += _wrapped("has", _has(fit), width)
    return Text("\n".join(lines))


def _has(fit: Fit) -> str:
    assert fit.device is not None
    device = fit.device
    if device.nominal_bytes == device.reported_bytes:
        seen = size(device.reported_bytes)
    else:
        about = "" if device.is_measured else "about "
        seen = f"{size(device.nominal_bytes)} on the box, {about}{size(device.reported_bytes)} that a framework sees"
    taken = f"about {size(CONTEXT_BYTES)} of context"
    is_shared = fit.usable < device.usable_bytes()
    taken += f" and {size(DISPLAY_BYTES)} for the desktop" if is_shared else ""
    return f"{size(fit.usable)} for a model: {seen}, less {taken}"


def _wrapped(label: str, text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=f"{label:<7}", subsequent_indent=" " * 7)


def _curve(fit: Fit, width: int) -> Text:
    """One bar per batch, the device's memory as a line through them."""
    room = width - 26
    scale = room / max(fit.usable, *(need.compared for need in fit.curve))
    mark = min(round(fit.usable * scale), room - 1) if fit.device else None
    label = f"{size(fit.usable)} usable"
    text = Text(f"{'batch':>7}  {'needs':>14}  ", style="dim")
    if mark is not None:
        text.append(f"{label:>{mark + 1}}" if mark + 1 >= len(label) else f"{'':{mark}}{label}", style="dim")
    for need in fit.curve:
        fits = mark is None or need.compared <= fit.usable
        text.append(f"\n{need.batch or '':>7}  {figure(need):>14}  ")
        text.append(_bar(max(1, round(need.compared * scale)), mark, fits), style="green" if fits else "red")
    return text


def _bar(filled: int, mark: int | None, fits: bool) -> str:
    """A bar that stops before the mark when it fits and passes it when it does not, whatever rounding does."""
    if mark is None:
        return "█" * filled
    if fits:
        return f"{'█' * min(filled, mark):<{mark}}│"
    return "█" * mark + "│" + "█" * max(1, filled - mark - 1)


def _devices(candidates: Sequence[Candidate]) -> Table:
    table = plain_table("device", "usable", "needs", "to spare")
    for row in candidates[:ROWS]:
        table.add_row(row.device.name, size(row.usable), figure(row.need), size(row.headroom))
    if len(candidates) > ROWS:
        table.add_row(f"and {len(candidates) - ROWS} more: --format json", style="dim")
    return table


def _host(fit: Fit) -> Text:
    text = Text("system memory to pair: ", style="bold").append(size(fit.host.sold), style="bold")
    for part in fit.host.parts:
        text.append(f"\n{size(part.nbytes):>11}  {part.what}", style="dim")
    return text


def fit_json(fit: Fit) -> str:
    """The whole answer."""
    return json_text(fit_document(fit))


def fit_document(fit: Fit) -> dict[str, Any]:
    """The same as plain values."""
    model = fit.model
    return {
        "schema": schema_name("fit"),
        "model": {"name": model.name, "nodes": model.nodes, "parameters": model.parameters},
        "mode": fit.mode,
        "settings": _plain(fit.settings),
        "device": None if fit.device is None else device_document(fit.device) | {"usable_bytes": fit.usable},
        "compared": fit.compared,
        "fits": fit.fits,
        "verdict": fit.verdict,
        "proved": fit.is_proved,
        "batch": fit.need.batch,
        "batch_asked": fit.batch_asked,
        "need": _need(fit.need),
        "largest_batch": fit.largest.batch if fit.largest else None,
        "refused_batch": fit.largest.refused if fit.largest else None,
        "curve": [_need(need) for need in fit.curve],
        "options": [_option(option) for option in fit.options],
        "devices": [_candidate(row) for row in fit.candidates],
        "paging": _paging_document(fit.paging) if fit.paging else None,
        "system_memory": {
            "bytes": fit.host.nbytes,
            "sold_bytes": fit.host.sold,
            "parts": [{"what": part.what, "bytes": part.nbytes} for part in fit.host.parts],
        },
        "questions": question_documents(fit.questions),
        "needs_at_most": _need(fit.worst) if fit.worst else None,
        "largest_batch_surely": fit.surely.batch if fit.surely else None,
        "issues": issue_documents(fit.issues),
        "notes": list(fit.notes),
    }


def _plain(settings: Any) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


def _paging_document(paging: Paging) -> dict[str, Any]:
    return {"bytes": paging.nbytes, "seconds": paging.seconds, "link": paging.link}


def _need(need: Need) -> dict[str, Any]:
    return {
        "batch": need.batch,
        "peak_bytes": need.peak,
        "compared_bytes": need.compared,
        "exactness": need.exactness,
        "allocated_bytes": need.allocated,
        "reserved_bytes": need.reserved,
        "uncounted": list(need.uncounted),
        "host_bytes": need.host,
    }


def _option(option: Option) -> dict[str, Any]:
    settings, need = option.settings, option.need
    passes = settings.get("accumulate", 1)
    return {
        "name": option.name,
        "batch": None if need.batch is None else need.batch * passes,
        "micro_batch": need.batch,
        "precision": settings.get("precision"),
        "optimizer": settings.get("optimizer"),
        "accumulate": passes,
        "checkpoint": list(settings.get("checkpoint", ())),
        "shards": int(str(settings.get("parallel", ":1")).split(":")[1]),
        "allocator": option.allocator,
        "settings": _plain(settings),
        "peak_bytes": need.peak,
        "compared_bytes": need.compared,
        "exactness": need.exactness,
        "headroom_bytes": option.headroom,
        "relative_step_cost": round(option.cost, 4),
        "result": option.outcome,
        "largest_batch": option.largest.batch if option.largest else None,
        "refused_batch": option.largest.refused if option.largest else None,
        "smallest_device": option.smallest_device or None,
        "why": option.what,
        "code": option.code,
    }


def _candidate(row: Candidate) -> dict[str, Any]:
    return {
        "name": row.device.name,
        "usable_bytes": row.usable,
        "compared_bytes": row.need.compared,
        "exactness": row.need.exactness,
        "headroom_bytes": row.headroom,
    }
