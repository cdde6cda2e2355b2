"""Verification -> text and JSON (schema graphmem.verification/1).

What `graphmem optimize` says: the copy written, the peaks before and after, the check, the code.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from graphmem.ir.runtime import OnnxRuntimeMemory
from graphmem.ir.verification import Verification
from graphmem.report.units import size


def verification_text(found: Verification, width: int = 80, color: bool = False) -> str:
    """Predicted beside measured, the first node at which they part, and how it was measured."""
    buffer = io.StringIO()
    console = Console(file=buffer, width=max(width, 72), force_terminal=color, no_color=not color, highlight=False)
    console.print(Text("graphmem verify ", style="dim").append(found.model, style="bold not dim"), end="")
    console.print(Text(f"   onnxruntime {found.version}", style="dim"))
    console.print()
    table = Table(box=None, padding=(0, 3, 0, 0), show_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    for heading in ("predicted", "measured", "difference"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in found.trials:
        same = row.predicted == row.measured
        verdict = Text("exact", style="green") if same else Text(f"{100 * row.error:+.2f} %", style="yellow")
        table.add_row(row.label, f"{row.predicted:,}", f"{row.measured:,}", verdict)
    console.print(table)
    for row in found.trials:
        if row.parting is not None:
            where = f"step {row.parting.step}, {row.parting.operator} '{row.parting.node}'"
            text = f"{row.label}: they part at {where}: expected {row.parting.expected}, found {row.parting.found}"
            console.print()
            console.print(Text(text, style="yellow"))
    console.print()
    console.print(Text(f"measured  {found.method}", style="dim"))
    console.print(Text(f"not seen  {found.blind}", style="dim"))
    for issue in (issue for issue in found.issues if issue.is_root):
        console.print(Text("note: ", style="yellow").append(f"{issue.where}: {issue.what}", style="default"))
    worst = max((abs(row.predicted - row.measured) for row in found.trials), default=0)
    console.print()
    console.print("every figure is exact" if found.agrees else f"off by {size(worst)} at most")
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def verification_json(found: Verification) -> str:
    """The same as a document."""
    document = {
        "schema": "graphmem.verification/1",
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
        "issues": [
            {"kind": i.kind, "where": i.where, "what": i.what, "effect": i.effect, "root": i.is_root}
            for i in found.issues
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False)


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
        code,
    ]
    return "\n".join(rows)
