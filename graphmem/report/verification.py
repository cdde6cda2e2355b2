"""Verification -> text and JSON (graphmem.verification/1); peaks before and after -> what `graphmem optimize` says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from graphmem.ir.quoting import json_text, lines_text, name_shown, sentence
from graphmem.ir.runtime import OnnxRuntimeMemory
from graphmem.ir.verification import Verification
from graphmem.report.envelope import issue_documents, schema_name
from graphmem.report.notes import issue_notes, note_lines
from graphmem.report.terminal import plain_table, printed
from graphmem.report.units import size


def verification_text(found: Verification, width: int = 80, color: bool = False) -> str:
    """Predicted beside measured, the first node at which they part, and how it was measured."""
    return printed(_parts(found), width, color)


def _parts(found: Verification) -> Iterable[RenderableType]:
    head = Text("graphmem verify ", style="dim").append(name_shown(found.model), style="bold not dim")
    yield head.append(f"   onnxruntime {found.version}", style="not bold dim")
    yield ""
    yield _trials(found)
    for row in found.trials:
        if row.parting is not None:
            where = f"step {row.parting.step}, {row.parting.operator} '{row.parting.node}'"
            text = f"{row.label}: they part at {where}: expected {row.parting.expected}, found {row.parting.found}"
            yield ""
            yield Text(sentence(text), style="yellow")
    yield ""
    yield Text(f"measured  {found.method}", style="dim")
    yield Text(f"not seen  {found.blind}", style="dim")
    yield from note_lines(issue_notes(found.issues))
    worst = max((abs(row.predicted - row.measured) for row in found.trials), default=0)
    yield ""
    yield "every figure is exact" if found.agrees else f"off by {size(worst)} at most"


def _trials(found: Verification) -> Table:
    table = plain_table("", "predicted", "measured", "difference", gap=3)
    for row in found.trials:
        same = row.predicted == row.measured
        verdict = Text("exact", style="green") if same else Text(f"{100 * row.error:+.2f} %", style="yellow")
        table.add_row(row.label, f"{row.predicted:,}", f"{row.measured:,}", verdict)
    return table


def verification_json(found: Verification) -> str:
    """The same as a document."""
    document = {
        "schema": schema_name("verification"),
        "model": found.model,
        "onnxruntime": found.version,
        "method": found.method,
        "not_seen": found.blind,
        "agrees": found.agrees,
        "trials": [
            {
                "label": row.label,
                "options": asdict(row.options),
                "predicted_bytes": row.predicted,
                "measured_bytes": row.measured,
                "parting": None if row.parting is None else asdict(row.parting),
            }
            for row in found.trials
        ],
        "issues": issue_documents(found.issues),
    }
    return json_text(document)


def optimized_text(
    path: str, is_reordered: bool, code: str, now: OnnxRuntimeMemory, then: OnnxRuntimeMemory, check: str
) -> str:
    """A short text; `check` is what the comparison of both models found."""
    order = "nodes reordered" if is_reordered else "nodes in the file's order, which no other was predicted to beat"
    rows = [
        f"wrote {path}: {order}",
        "",
        "              before       after",
        f"first run     {size(now.first_run_peak):12} {size(then.first_run_peak)}",
        f"later runs    {size(now.later_peak):12} {size(then.later_peak)}",
        "",
        f"outputs       {check}",
        "",
        *code.split("\n"),
    ]
    return lines_text(rows)
