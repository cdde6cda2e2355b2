"""Training -> JSON text (schema graphmem.training/1)."""

from __future__ import annotations

import json
from typing import Any

from graphmem.ir.graph import Origin
from graphmem.ir.training import Training


def training_json(training: Training, timeline: bool = False) -> str:
    """The whole answer; with `timeline` also the bytes alive in every operator."""
    return json.dumps(training_document(training, timeline), indent=1, ensure_ascii=False)


def training_document(training: Training, timeline: bool = False) -> dict[str, Any]:
    """The same as plain values."""
    settings, model, found = training.settings, training.model, training.allocator
    document: dict[str, Any] = {
        "schema": "graphmem.training/1",
        "model": {"name": model.name, "nodes": model.nodes, "parameters": model.parameters},
        "settings": {
            "loss": settings.loss,
            "optimizer": settings.optimizer,
            "form": settings.form,
            "device": settings.device,
            "frozen": list(settings.frozen),
            "precision": settings.precision,
            "accumulate": settings.accumulate,
            "checkpoint": list(settings.checkpoint),
            "lora": settings.lora,
            "offload": list(settings.offload),
        },
        "complete": training.is_complete,
        "exactness": training.exactness,
        "issues": [
            {"kind": i.kind, "where": i.where, "what": i.what, "effect": i.effect, "root": i.is_root}
            for i in training.issues
        ],
        "inferred": [
            {"what": i.what, "where": i.where, "evidence": i.evidence, "bytes": i.nbytes} for i in training.inferred
        ],
        "peak_bytes": training.peak,
        "peak": {
            "phase": training.peak_phase,
            "operator": training.peak_operator,
            "node": training.peak_node,
            **_place(training.peak_origin),
        },
        "phase_peak_bytes": dict(training.phase_peaks),
        "breakdown_bytes": dict(training.breakdown),
        "baseline_bytes": training.baseline,
        "saved_bytes": training.saved_bytes,
        "saved_activations": [
            {
                "tensor": row.name,
                "dtype": row.type.dtype,
                "shape": list(row.type.shape),
                "bytes": row.nbytes,
                "operator": row.operator,
                **_place(row.origin),
            }
            for row in training.saved
        ],
        "allocated_bytes": found.allocated if found else None,
        "reserved_bytes": found.reserved if found else None,
        "allocator": None
        if found is None
        else {
            "reserved_expandable_bytes": found.reserved_expandable,
            "cublas_workspace_bytes": found.cublas_workspace,
            "context_bytes": found.context,
            "cudnn_workspace_bytes": None,
            "unknown": list(found.unknown),
        },
    }
    if training.traffic is not None:
        moved = training.traffic
        document["offload"] = {
            "host_bytes": moved.host,
            "to_host_bytes": moved.to_host,
            "to_device_bytes": moved.to_device,
        }
    if timeline:
        document["timeline"] = training.timeline.live.tolist()
    return document


def _place(origin: Origin) -> dict[str, str]:
    return {"module": origin.scope, "class": origin.module, "source": origin.source}
