"""Fit -> JSON text (schema graphmem.fit/1)."""

from __future__ import annotations

import json
from typing import Any

from graphmem.ir.fit import Candidate, Fit, Need, Option, Paging
from graphmem.report.devices import device_document


def fit_json(fit: Fit) -> str:
    """The whole answer."""
    return json.dumps(fit_document(fit), indent=1, ensure_ascii=False)


def fit_document(fit: Fit) -> dict[str, Any]:
    """The same as plain values."""
    model = fit.model
    return {
        "schema": "graphmem.fit/1",
        "model": {"name": model.name, "nodes": model.nodes, "parameters": model.parameters},
        "mode": fit.mode,
        "settings": _plain(fit.settings),
        "device": None if fit.device is None else device_document(fit.device) | {"usable_bytes": fit.usable},
        "compared": fit.compared,
        "fits": fit.fits,
        "verdict": fit.verdict,
        "proved": fit.is_proved,
        "batch": fit.need.batch,
        "batch_asked": fit.batch_asked,
        "need": _need(fit.need),
        "largest_batch": fit.largest.batch if fit.largest else None,
        "refused_batch": fit.largest.refused if fit.largest else None,
        "curve": [_need(need) for need in fit.curve],
        "options": [_option(option) for option in fit.options],
        "devices": [_candidate(row) for row in fit.candidates],
        "paging": _paging(fit.paging) if fit.paging else None,
        "system_memory": {
            "bytes": fit.host.nbytes,
            "sold_bytes": fit.host.sold,
            "parts": [{"what": part.what, "bytes": part.nbytes} for part in fit.host.parts],
        },
        "issues": [{"kind": i.kind, "where": i.where, "what": i.what, "effect": i.effect} for i in fit.issues],
        "notes": list(fit.notes),
    }


def _plain(settings: Any) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


def _paging(paging: Paging) -> dict[str, Any]:
    return {"bytes": paging.nbytes, "seconds": paging.seconds, "link": paging.link}


def _need(need: Need) -> dict[str, Any]:
    return {
        "batch": need.batch,
        "peak_bytes": need.peak,
        "compared_bytes": need.compared,
        "exactness": need.exactness,
        "allocated_bytes": need.allocated,
        "reserved_bytes": need.reserved,
        "uncounted": list(need.uncounted),
        "host_bytes": need.host,
    }


def _option(option: Option) -> dict[str, Any]:
    settings, need = option.settings, option.need
    passes = settings.get("accumulate", 1)
    return {
        "name": option.name,
        "batch": None if need.batch is None else need.batch * passes,
        "micro_batch": need.batch,
        "precision": settings.get("precision"),
        "optimizer": settings.get("optimizer"),
        "accumulate": passes,
        "checkpoint": list(settings.get("checkpoint", ())),
        "shards": int(str(settings.get("parallel", ":1")).split(":")[1]),
        "allocator": option.allocator,
        "settings": _plain(settings),
        "peak_bytes": need.peak,
        "compared_bytes": need.compared,
        "exactness": need.exactness,
        "headroom_bytes": option.headroom,
        "relative_step_cost": round(option.cost, 4),
        "result": option.outcome,
        "largest_batch": option.largest.batch if option.largest else None,
        "refused_batch": option.largest.refused if option.largest else None,
        "smallest_device": option.smallest_device or None,
        "why": option.what,
        "code": option.code,
    }


def _candidate(row: Candidate) -> dict[str, Any]:
    return {
        "name": row.device.name,
        "usable_bytes": row.usable,
        "compared_bytes": row.need.compared,
        "exactness": row.need.exactness,
        "headroom_bytes": row.headroom,
    }
