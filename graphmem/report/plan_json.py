"""Plan -> JSON text of the schema graphmem.plan/1."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from graphmem.ir.execution import Execution
from graphmem.ir.memory import Plan

SCHEMA = "graphmem.plan/1"


def plan_document(plan: Plan, execution: Execution | None = None) -> dict[str, Any]:
    """The plan as JSON values; bytes are integers, `last_step` is the last step of life, not the one after."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
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
    return json.dumps(plan_document(plan, execution), indent=2) + "\n"
