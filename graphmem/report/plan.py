"""Plan, Execution -> JSON (graphmem.plan/1), a table (what is proved, every buffer from the bottom up), a C header."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from graphmem.ir.execution import Execution
from graphmem.ir.memory import Plan
from graphmem.ir.quoting import c_comment, c_identifiers, clipped, json_text, lines_text
from graphmem.report.envelope import schema_name
from graphmem.report.units import size


def plan_document(plan: Plan, execution: Execution | None = None) -> dict[str, Any]:
    """The plan as JSON values; bytes are integers, `last_step` is the last step of life, not the one after."""
    document: dict[str, Any] = {
        "schema": schema_name("plan"),
        "method": plan.method,
        "arena_bytes": plan.arena,
        "lower_bound_bytes": plan.lower_bound,
        "optimal": plan.is_optimal,
        "gap": plan.gap,
        "alignment": plan.alignment,
        "placements": [
            {
                "tensor": p.lifetime.buffer,
                "offset": p.offset,
                "bytes": p.lifetime.nbytes,
                "first_step": p.lifetime.start,
                "last_step": p.lifetime.stop - 1,
            }
            for p in plan.placements
        ],
    }
    if execution is not None:
        document["execution"] = execution_document(execution)
    return document


def execution_document(execution: Execution) -> dict[str, Any]:
    """What came of executing the plan as JSON values."""
    difference = execution.difference
    return {
        "faithful": execution.is_faithful,
        "guards_intact": execution.guards_intact,
        "difference": None if difference is None else asdict(difference),
        "outputs_compared": execution.compared,
        "steps": execution.steps,
        "arena_bytes": execution.arena,
        "tensors_bound": execution.bound,
        "tensors_copied": list(execution.copied),
        "tensors_outside": list(execution.outside),
        "made_up_weight_bytes": execution.filled,
    }


def plan_json(plan: Plan, execution: Execution | None = None) -> str:
    """The document as indented text."""
    return json_text(plan_document(plan, execution), indent=2) + "\n"


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
        rows.append((str(p.offset), str(life.nbytes), f"[{life.start}, {life.stop})", clipped(life.buffer)))
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    lines.append("")
    lines += ["  ".join((*(cell.rjust(w) for cell, w in zip(row, widths, strict=False)), row[3])) for row in rows]
    return lines_text(lines)


PREFIX = "GRAPHMEM"


def plan_header(plan: Plan) -> str:
    """Two constants a buffer and three for the arena; names are made C identifiers, numbered where two would be one."""
    lines = [
        c_comment(f"{len(plan.placements)} buffers by {plan.method}; {_certificate(plan)}. Written by graphmem plan."),
        f"#ifndef {PREFIX}_PLAN_H",
        f"#define {PREFIX}_PLAN_H",
        "",
        f"#define {PREFIX}_ARENA_BYTES {plan.arena}ULL",
        f"#define {PREFIX}_ARENA_ALIGNMENT {plan.alignment}ULL",
        f"#define {PREFIX}_ARENA_LOWER_BOUND {plan.lower_bound}ULL",
        "",
    ]
    names = c_identifiers([p.lifetime.buffer for p in plan.placements])
    for name, p in zip(names, plan.placements, strict=True):
        lines.append(c_comment(f"{clipped(p.lifetime.buffer)}: steps [{p.lifetime.start}, {p.lifetime.stop})"))
        lines.append(f"#define {PREFIX}_OFFSET_{name} {p.offset}ULL")
        lines.append(f"#define {PREFIX}_BYTES_{name} {p.lifetime.nbytes}ULL")
    return "\n".join([*lines, "", "#endif", ""])


def _certificate(plan: Plan) -> str:
    return "proved optimal" if plan.is_optimal else f"{plan.gap:.3%} above a proved bound"


NAMED = 3  # of the tensors that were not bound


def execution_text(execution: Execution) -> str:
    """The lines; the first says whether outputs were equal, the second whether the guards held."""
    difference = execution.difference
    if difference is None:
        verdict = f"outputs equal bit for bit to an ordinary run ({execution.compared} compared)"
    elif difference.operator:
        verdict = f"DIFFERS first in '{difference.tensor}', by {difference.operator} '{difference.node}'"
        verdict += f" at step {difference.step}"
    else:
        verdict = f"DIFFERS in output '{difference.tensor}' after the last step; every node was right when it ran"
    guards = "intact" if execution.guards_intact else "OVERWRITTEN: something was written outside the arena"
    lines = [
        f"executed {verdict}",
        f"guards   {guards}",
        f"run      {execution.steps} steps in one arena of {size(execution.arena)}, {execution.bound} tensors in place",
    ]
    for names, why in (
        (execution.copied, "copied to their place, since the data decide their shape"),
        (execution.outside, "outside the arena, since they are no tensors"),
    ):
        if names:
            named = ", ".join([*map(clipped, names[:NAMED]), *(["..."] if len(names) > NAMED else [])])
            lines.append(f"         {len(names)} {why}: {named}")
    if execution.filled:
        lines.append(f"         {size(execution.filled)} of weights are not in the file and were made up for both runs")
    return lines_text(lines)
