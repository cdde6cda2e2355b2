"""Comparison -> text, Markdown or JSON (graphmem.diff/1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import wrap
from typing import Any

from graphmem.ir.comparison import Change, Comparison
from graphmem.ir.quoting import clipped, json_text, lines_text, markdown, shown
from graphmem.report.envelope import schema_name
from graphmem.report.units import size

ROWS_SHOWN = 20
LEAST_NAME = 16
HEADS = ("was", "is", "change", "peak was", "peak is", "change at peak")
DROPPED = (4, 1, 5, 2, 3)  # columns given up, first to last, where the terminal is narrow; figures are never cut


def comparison_text(comparison: Comparison, width: int = 80) -> str:
    """Figures, then modules and tensors that moved, in aligned columns."""
    lines = [*wrap(f"{comparison.old} -> {comparison.new}", width), ""]
    lines += _aligned([(c.name, *_cells(c)[:3]) for c in comparison.figures], ("", "was", "is", "change"))
    for title, changes in (("modules", comparison.modules), ("tensors", comparison.tensors)):
        if changes:
            rows = [(c.name, *_cells(c)) for c in changes[:ROWS_SHOWN]]
            lines += ["", *_fitted(rows, (title, *HEADS), width)]
            lines += _more(changes)
    return lines_text([*lines, *(["", "nothing moved"] if comparison.is_empty else [])])


def comparison_markdown(comparison: Comparison) -> str:
    """Tables for a pull request, tensors folded."""
    head = f"**graphmem**: {markdown(comparison.old)} → {markdown(comparison.new)}"
    lines = [head, "", *_table("", [(c.name, *_cells(c)[:3]) for c in comparison.figures], ("was", "is", "change"))]
    if comparison.is_empty:
        return "\n".join([*lines, "", "Nothing moved."])
    for title, changes in (("module", comparison.modules), ("tensor", comparison.tensors)):
        rows = [(markdown(c.name), *_cells(c)) for c in changes[:ROWS_SHOWN]]
        if rows:
            lines += ["", f"<details><summary>{len(changes)} {title}s moved</summary>", ""]
            lines += [*_table(title, rows, HEADS), *_more(changes), "", "</details>"]
    return "\n".join(lines)


def comparison_json(comparison: Comparison) -> str:
    """Everything that moved, sizes in bytes; null where a thing did not exist."""
    document = {
        "schema": schema_name("diff"),
        "old": comparison.old,
        "new": comparison.new,
        "empty": comparison.is_empty,
        "figures": {c.name.replace(" ", "_") + "_bytes": {"old": c.old, "new": c.new} for c in comparison.figures},
        "modules": [_document(change) for change in comparison.modules],
        "tensors": [_document(change) for change in comparison.tensors],
    }
    return json_text(document)


COMPARISON_FORMATS: dict[str, Callable[..., str]] = {
    "table": comparison_text,
    "json": comparison_json,
    "markdown": comparison_markdown,
}


def _document(change: Change) -> dict[str, Any]:
    return {
        "name": change.name,
        "old_bytes": change.old,
        "new_bytes": change.new,
        "old_at_peak_bytes": change.old_at_peak,
        "new_at_peak_bytes": change.new_at_peak,
    }


def _cells(change: Change) -> tuple[str, ...]:
    return (
        _size(change.old),
        _size(change.new),
        _signed(change.delta, change.old),
        _size(change.old_at_peak),
        _size(change.new_at_peak),
        _signed(change.delta_at_peak, change.old_at_peak),
    )


def _size(nbytes: int | None) -> str:
    return "–" if nbytes is None else size(nbytes)


def _signed(delta: int, old: int | None) -> str:
    if not delta:
        return "0"
    part = f" ({delta / old:+.1%})" if old else ""
    return f"{'+' if delta > 0 else '-'}{size(abs(delta))}{part}"


def _fitted(rows: Sequence[tuple[str, ...]], heads: tuple[str, ...], width: int) -> list[str]:
    """The rows aligned, without as many columns as do not fit, then with the ends of names alone."""
    kept = list(range(len(heads)))
    rows = [(shown(name), *cells) for name, *cells in rows]
    for dropped in (None, *DROPPED):
        if dropped is not None:
            kept.remove(dropped)
        lines = _aligned([tuple(row[i] for i in kept) for row in rows], tuple(heads[i] for i in kept))
        if max(map(len, lines)) <= width:
            return lines
    room = max(LEAST_NAME, width - (max(map(len, lines)) - max(len(row[0]) for row in rows)))
    return _aligned(
        [(clipped(row[0], room), *(row[i] for i in kept[1:])) for row in rows], tuple(heads[i] for i in kept)
    )


def _aligned(rows: Sequence[tuple[str, ...]], heads: tuple[str, ...]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return [
        "  ".join(text.rjust(w) if i else text.ljust(w) for i, (text, w) in enumerate(zip(row, widths, strict=True)))
        for row in (heads, *rows)
    ]


def _table(first: str, rows: Sequence[tuple[str, ...]], heads: tuple[str, ...]) -> list[str]:
    lines = [f"| {first} | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _more(changes: Sequence[Change]) -> list[str]:
    return [f"and {len(changes) - ROWS_SHOWN} more"] if len(changes) > ROWS_SHOWN else []
