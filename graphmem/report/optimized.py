"""What `graphmem optimize` says: the copy written, the peaks before and after, the check, the code."""

from __future__ import annotations

from graphmem.ir.runtime import OnnxRuntimeMemory
from graphmem.report.units import size


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
