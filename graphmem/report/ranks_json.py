"""Ranked -> JSON text (schema graphmem.ranks/1)."""

from __future__ import annotations

import json
from typing import Any

from graphmem.ir.ranks import Ranked


def ranks_json(ranked: Ranked) -> str:
    """The whole answer."""
    return json.dumps(ranks_document(ranked), indent=1, ensure_ascii=False)


def ranks_document(ranked: Ranked) -> dict[str, Any]:
    """The same as plain values."""
    settings, way = ranked.settings, ranked.parallel
    return {
        "schema": "graphmem.ranks/1",
        "model": {"name": ranked.name},
        "parallel": {
            "kind": way.kind,
            "ranks": way.ranks,
            "micro_batches": way.micro_batches,
            "gradient_as_bucket_view": way.bucket_view,
        },
        "settings": {
            "loss": settings.loss,
            "optimizer": settings.optimizer,
            "form": settings.form,
            "device": settings.device,
            "frozen": list(settings.frozen),
        },
        "complete": ranked.exactness == "exact",
        "exactness": ranked.exactness,
        "issues": [
            {"kind": i.kind, "where": i.where, "what": i.what, "effect": i.effect, "root": i.is_root}
            for i in ranked.issues
        ],
        "notes": list(ranked.notes),
        "peak_bytes": ranked.peak,
        "single_device_peak_bytes": ranked.single_peak,
        "ranks": [
            {
                "rank": rank.rank,
                "holds": rank.holds,
                "peak_bytes": rank.peak,
                "peak": {"phase": rank.peak_phase, "operator": rank.peak_operator},
                "phase_peak_bytes": dict(rank.phase_peaks),
                "breakdown_bytes": dict(rank.breakdown),
                "baseline_bytes": rank.baseline,
            }
            for rank in ranked.ranks
        ],
        "communication_bytes": ranked.sent,
        "communication": [
            {
                "operation": row.operation,
                "what": row.what,
                "calls": row.calls,
                "payload_bytes": row.payload,
                "sent_bytes": row.sent,
            }
            for row in ranked.communication
        ],
    }
