"""Plan -> a table for the screen: what was achieved and proved, then every buffer from the bottom of the arena up."""

from __future__ import annotations

from graphmem.ir.memory import Plan
from graphmem.report.units import size


def plan_table(plan: Plan, capacity: int | None = None) -> str:
    """The table; with a capacity in bytes also whether the arena fits in it."""
    proof = "proved optimal" if plan.is_optimal else f"gap {plan.gap:.3%}"
    lines = [
        f"arena   {size(plan.arena)} ({plan.arena} bytes), {proof}",
        f"bound   {size(plan.lower_bound)} ({plan.lower_bound} bytes)",
        f"method  {plan.method}, alignment {plan.alignment}",
    ]
    if capacity is not None:
        verdict = "fits in" if plan.arena <= capacity else "does not fit in"
        lines.append(f"verdict {verdict} {size(capacity)} ({capacity} bytes)")
    rows = [("offset", "bytes", "steps", "buffer")]
    for p in sorted(plan.placements, key=lambda p: (p.offset, p.lifetime.start, p.lifetime.buffer)):
        life = p.lifetime
        rows.append((str(p.offset), str(life.nbytes), f"[{life.start}, {life.stop})", life.buffer))
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    lines.append("")
    lines += ["  ".join((*(cell.rjust(w) for cell, w in zip(row, widths, strict=False)), row[3])) for row in rows]
    return "\n".join(lines)
