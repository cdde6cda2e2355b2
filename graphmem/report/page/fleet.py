"""Records, Overview -> one HTML page of a fleet that needs nothing else: what fits, what is worst, what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from importlib.resources import files
from string import Template
from typing import Any

from graphmem.ir.fleet import CHANGES, SETTING, Overview, SweepRecord
from graphmem.ir.quoting import markup, script_json
from graphmem.report.fleet import setting, signed_size, variant
from graphmem.report.units import size

SCRIPTS = ("theme.js", "data.js", "charts.js", "table.js", "fleet.js")
STYLES = ("page.css", "fleet.css")
ROWS_SHOWN = 200_000  # of all rows in the page, some 10 MB; the results file has the rest
FAILURES_SHOWN = 20
_HIDDEN = ("hash", "usable_bytes", "complete", "version")  # columns that the page has no use for


def fleet_html(rows: Sequence[SweepRecord], seen: Overview) -> str:
    """The page of a sweep; with a baseline in `seen` also what changed since."""
    folder = _folder([line.model for line in seen.lines])
    return Template(_text("fleet.html")).substitute(
        subtitle=markup(_subtitle(rows, seen, folder)),
        cards="".join(_card(*card) for card in _cards(seen)),
        failures="".join(_failures(seen, folder)),
        failures_hidden="" if seen.failures else "hidden",
        greatest=_bars(seen.greatest, folder, variant, lambda row: row.peak_bytes or 0),
        tightest=_bars(seen.tightest, folder, setting, lambda row: -(row.headroom_bytes or 0)),
        tightest_hidden="" if seen.tightest else "hidden",
        fits_hidden="" if seen.devices else "hidden",
        changes_hidden="" if seen.changes is not None else "hidden",
        changes=markup(_told(seen)),
        style="".join(map(_text, STYLES)),
        data=script_json(_document(rows, seen, folder)),
        script="".join(map(_text, SCRIPTS)),
    )


def _text(name: str) -> str:
    return files("graphmem.report").joinpath("page").joinpath(name).read_text(encoding="utf-8")


def _folder(models: Sequence[str]) -> str:
    """The folder that all models are in, with its slash, or ""; the page leaves it out of their names."""
    shared: list[str] = []
    for level in zip(*(model.split("/")[:-1] for model in models), strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return "/".join([*shared, ""])


def _short(model: str, folder: str) -> str:
    return model.removeprefix(folder)


def _subtitle(rows: Sequence[SweepRecord], seen: Overview, folder: str) -> str:
    """What all rows have in common."""
    words = {"batch": "batch {}", "accumulate": "accumulate {}", "checkpoint": "checkpoint {}"}
    common = {name: _common(rows, name) for name in SETTING[1:]}
    shared = [
        words.get(name, "{}").format(value) for name, value in common.items() if value not in (None, "", 1, "none")
    ]
    versions = sorted({row.version for row in rows})
    where = [f"in {folder}"] if folder else []
    return " · ".join(
        [f"{seen.models:,} models", *where, f"{seen.rows:,} rows", *shared, f"graphmem {', '.join(versions)}"]
    )


def _common(rows: Sequence[SweepRecord], name: str) -> object:
    found = {getattr(row, name) for row in rows}
    return found.pop() if len(found) == 1 else None


def _cards(seen: Overview) -> Iterable[tuple[str, str, str, str]]:
    """(class, what, figure, small print)."""
    proofs = dict(seen.exactness)
    bounds = proofs.get("at most", 0) + proofs.get("at least", 0)
    yield "lead", "exact", f"{proofs.get('exact', 0):,}", f"of {seen.rows:,} rows"
    yield "", "bounds", f"{bounds:,}", f"{proofs.get('at most', 0):,} at most, {proofs.get('at least', 0):,} at least"
    kinds = "1 kind" if len(seen.failures) == 1 else f"{len(seen.failures):,} kinds"
    yield "bad" if seen.failed else "", "failed", f"{seen.failed:,}", kinds
    for share in seen.devices:
        known = share.yes + share.no + share.unknown
        small = f"{share.yes:,} fit, {share.no:,} do not, {share.unknown:,} unknown · {size(share.usable_bytes)}"
        yield "bad" if share.no else "", share.device, f"{share.yes / known:.0%} fit" if known else "–", small


def _card(kind: str, what: str, figure: str, small: str) -> str:
    return f'<div class="{kind}"><dt>{markup(what)}</dt><dd>{markup(figure)}<small>{markup(small)}</small></dd></div>'


def _failures(seen: Overview, folder: str) -> Iterable[str]:
    for failure in seen.failures[:FAILURES_SHOWN]:
        more = f" and {len(failure.models) - 1:,} more" if len(failure.models) > 1 else ""
        yield (
            f"<li><b>{failure.rows:,} rows</b> {markup(failure.error)} "
            f"<small>{markup(_short(failure.models[0], folder))}{more}</small></li>"
        )
    if len(seen.failures) > FAILURES_SHOWN:
        yield f"<li>and {len(seen.failures) - FAILURES_SHOWN:,} more kinds, in the table below</li>"


def _bars(
    rows: Sequence[SweepRecord],
    folder: str,
    told: Callable[[SweepRecord], str],
    figure: Callable[[SweepRecord], int],
) -> str:
    """A line per row, the first as long as the box."""
    top = max((figure(row) for row in rows), default=0)
    return "".join(
        f'<li><span class="bar" style="width:{100 * figure(row) / top if top else 0:.1f}%"></span>'
        f"<b>{markup(signed_size(figure(row), row.exactness))}</b> {markup(_short(row.model, folder))} "
        f"<small>{markup(told(row))}</small></li>"
        for row in rows
    )


def _told(seen: Overview) -> str:
    counts = Counter(change.what for change in seen.changes or ())
    return ", ".join(f"{counts[what]:,} {what}" for what in CHANGES if counts[what]) or "nothing changed"


def _document(rows: Sequence[SweepRecord], seen: Overview, folder: str) -> dict[str, Any]:
    """All that the page's script needs: columns, those of text as numbers into a list of distinct texts."""
    kept = rows[:ROWS_SHOWN]
    names = [field.name for field in fields(SweepRecord) if field.name not in _HIDDEN]
    columns = {name: _column([getattr(row, name) for row in kept]) for name in names}
    columns["model"] = _column([_short(row.model, folder) for row in kept])
    return {
        "left": len(rows) - len(kept),
        "columns": columns,
        "varied": [name for name in SETTING[1:] if len({getattr(row, name) for row in rows}) > 1],
        "devices": [share.device for share in seen.devices],
        "lines": [
            [_short(line.model, folder), line.variant, line.peak_bytes, line.largest, line.of] for line in seen.lines
        ],
        "changes": [
            [
                c.what,
                _short(c.row.model, folder),
                setting(c.row),
                c.delta,
                _state(c.then),
                _state(c.now),
                CHANGES[c.what],
            ]
            for c in (seen.changes or ())[:ROWS_SHOWN]
        ],
    }


def _column(values: list[Any]) -> dict[str, list[Any]] | list[Any]:
    """Numbers as they are, texts as places in a list of the distinct ones."""
    if not any(isinstance(value, str) for value in values):
        return values
    places: dict[str, int] = {}
    return {"at": [places.setdefault(value, len(places)) for value in values], "of": list(places)}


def _state(row: SweepRecord | None) -> str:
    if row is None:
        return "–"
    if row.error or row.peak_bytes is None:
        return row.error or "no figure"
    fits = {"yes": ", fits", "no": ", does not fit", "unknown": ", may fit"}.get(row.fits, "")
    return signed_size(row.peak_bytes, row.exactness) + fits
