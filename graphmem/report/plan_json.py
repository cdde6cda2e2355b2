"""Plan -> JSON text of the schema graphmem.plan/1."""

from __future__ import annotations

import json
from typing import Any

from graphmem.ir.memory import Plan

SCHEMA = "graphmem.plan/1"


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values; bytes are integers, `last_step` is the last step of life, not the one after."""
    return {
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


def plan_json(plan: Plan) -> str:
    """The document as indented text."""
    return json.dumps(plan_document(plan), indent=2) + "\n"
