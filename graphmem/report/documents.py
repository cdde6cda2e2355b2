"""Analysis -> JSON text (schema graphmem.analysis/1), and the JSON Schemas that say what the keys mean."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from graphmem.ir.analysis import Analysis, LiveTensor
from graphmem.ir.runtime import OnnxRuntimeMemory
from graphmem.ir.types import BoundedType, OptionalType, SequenceType, TensorType, Type, UnknownType


def analysis_json(analysis: Analysis, tensors: bool = False, timeline: bool = False) -> str:
    """The whole analysis, or with `tensors` and `timeline` also every type and every step's live bytes."""
    return json.dumps(analysis_document(analysis, tensors, timeline), indent=1, ensure_ascii=False)


def analysis_document(analysis: Analysis, tensors: bool = False, timeline: bool = False) -> dict[str, Any]:
    """The same as plain values."""
    model, run = analysis.model, analysis.inference
    document: dict[str, Any] = {
        "schema": "graphmem.analysis/1",
        "model": {
            "name": model.name,
            "nodes": model.nodes,
            "parameters": model.parameters,
            "weight_bytes": model.weight_bytes,
            "opsets": {domain or "ai.onnx": version for domain, version in model.opsets.items()},
            "inputs": {name: _described(type_) for name, type_ in model.inputs.items()},
        },
        "complete": analysis.is_complete,
        "exactness": analysis.exactness,
        "issues": [
            {"kind": i.kind, "where": i.where, "what": i.what, "effect": i.effect, "root": i.is_root}
            for i in analysis.issues
        ],
        "inference": {
            "memory_model": run.memory_model,
            "order": run.order,
            "order_lower_bound_bytes": run.order_bound,
            "order_optimal": run.is_optimal_order and analysis.is_complete,
            "steps": len(run.schedule.steps),
            "activation_peak_bytes": run.peak,
            "peak_step": run.peak_step,
            "peak_node": run.peak_node,
            "peak_operator": run.peak_operator,
            "total_bytes": run.total_bytes,
            "workspace_at_peak_bytes": run.workspace,
            "live_at_peak": [_live(row) for row in run.live_at_peak],
            "greatest": [_live(row) for row in run.greatest],
        },
    }
    if run.onnxruntime is not None:
        document["inference"] |= onnxruntime_document(run.onnxruntime)
    if tensors:
        document["tensors"] = {
            name: {**_described(tensor.type), "role": tensor.role} for name, tensor in analysis.graph.tensors.items()
        }
    if timeline:
        document["timeline"] = run.timeline.live.tolist()
    return document


def onnxruntime_document(memory: OnnxRuntimeMemory) -> dict[str, Any]:
    """The figures of the onnxruntime memory model; null where an option is off."""
    return {
        "first_run_peak_bytes": memory.first_run_peak,
        "pattern_peak_bytes": memory.pattern_peak,
        "arena_bytes": memory.arena,
        "onnxruntime": {
            "version": memory.version,
            "known_version": memory.is_known_version,
            "options": asdict(memory.options),
            "advice": [
                {
                    "change": row.change,
                    "code": row.code,
                    "first_run_peak_bytes": row.first_run_peak,
                    "later_run_peak_bytes": row.later_peak,
                    "saving_bytes": row.saving,
                }
                for row in memory.advice
            ],
        },
    }


def schema_text(kind: str) -> str:
    """The JSON Schema of a kind of document."""
    return files("graphmem.report").joinpath("schemas").joinpath(f"{kind}.json").read_text(encoding="utf-8").rstrip()


def _live(row: LiveTensor) -> dict[str, Any]:
    return {
        "tensor": row.tensor,
        **_described(row.type),
        "bytes": row.nbytes,
        "kind": row.kind,
        "first_step": row.first_step,
        "last_step": row.last_step,
        "producer": row.producer,
        "scope": row.origin.scope,
        "source": row.origin.source,
    }


def _described(type_: Type) -> dict[str, Any]:
    """dtype, shape and bytes; a bounded shape is the greatest and says so, an unknown dimension or size is null."""
    if isinstance(type_, TensorType):
        return {"dtype": type_.dtype, "shape": list(type_.shape), "bytes": type_.nbytes if type_.has_size else None}
    if isinstance(type_, BoundedType):
        size = type_.nbytes if type_.has_size else None
        return {"dtype": type_.dtype, "shape": list(type_.high), "bytes": size, "at_most": True}
    if isinstance(type_, UnknownType):
        return {"dtype": type_.dtype, "shape": None if type_.dims is None else list(type_.dims), "bytes": None}
    if isinstance(type_, SequenceType):
        elements = None if type_.elements is None else [_described(element) for element in type_.elements]
        return {"dtype": "sequence", "shape": None, "bytes": None, "elements": elements}
    assert isinstance(type_, OptionalType)
    return {"dtype": "optional", "shape": None, "bytes": None, "element": _described(type_.element)}
