"""Execution -> some lines for the screen: what ran where, and whether it gave what an ordinary run gives."""

from __future__ import annotations

from graphmem.ir.execution import Execution
from graphmem.report.units import size

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
            lines.append(f"         {len(names)} {why}: {', '.join(names[:NAMED])}{', ...' * (len(names) > NAMED)}")
    if execution.filled:
        lines.append(f"         {size(execution.filled)} of weights are not in the file and were made up for both runs")
    return "\n".join(lines)
