"""Profile -> files for viewers that people already use: Netron, Model Explorer, speedscope, Perfetto; and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from graphmem.ir.profile import Profile
from graphmem.ir.quoting import compact_json, csv_names
from graphmem.report.drawing.svg import HEAT

MIB = 1 << 20


def netron(profile: Profile) -> str:
    """An attachment to drop on the open model: live MiB of each node, MiB and life of each value (short names)."""
    metrics = []
    for number, step in enumerate(profile.schedule.steps):
        live = int(profile.timeline.live[number])
        metrics.append(_metric("node", step.name, "live MiB", round(live / MIB, 3)))
        metrics.append(_metric("node", step.name, "step", number))
    at_peak = set(profile.rows_at_peak)
    for row, tensor in enumerate(profile.tensors):
        metrics.append(_metric("value", tensor.tensor, "MiB", round(tensor.nbytes / MIB, 3)))
        metrics.append(_metric("value", tensor.tensor, "life", f"{tensor.first_step}-{tensor.last_step}"))
        if row in at_peak:
            metrics.append(_metric("value", tensor.tensor, "at peak", "yes"))
    model = [_metric("model", "", "peak MiB", round(profile.timeline.peak / MIB, 3))]
    return compact_json({"signature": "netron:attachment", "metadata": [], "metrics": model + metrics})


def _metric(kind: str, target: str, name: str, value: object) -> dict[str, Any]:
    return {"kind": kind, "target": target, "name": name, "value": value, "type": "attribute"}


def model_explorer(profile: Profile, graph: str, node_ids: Mapping[str, str]) -> str:
    """Node data with a heat gradient; `node_ids` gives the viewer's id of a node by each tensor that it writes."""
    results: dict[str, Any] = {}
    for number, step in enumerate(profile.schedule.steps):
        key = next((node_ids[name] for row in step.writes if (name := profile.tensors[row].tensor) in node_ids), None)
        key = key or node_ids.get(step.name)
        if key is not None:
            results[key] = {"value": round(int(profile.timeline.live[number]) / MIB, 3)}
    gradient = [
        {"stop": round(i / (len(HEAT) - 1), 3), "bgColor": fill, "textColor": ink} for i, (fill, ink) in enumerate(HEAT)
    ]
    data = {
        "name": "live MiB",
        "results": results,
        "gradient": gradient,
        "hideAggregatedStats": ["sum", "avg"],  # adding up live bytes of different moments means nothing
    }
    return compact_json({graph: data})


def speedscope(profile: Profile, name: str, version: str) -> str:
    """Three flame graphs over module, operation and tensor: bytes alive at the peak, and made in the whole run."""
    frames: dict[tuple[str, str], int] = {}
    at_peak = set(profile.rows_at_peak)
    samples: list[list[int]] = []
    for tensor in profile.tensors:
        scope = tensor.origin.scope.split(".") if tensor.origin.scope else []
        stack = [(".".join(scope[: depth + 1]), "") for depth in range(len(scope))]
        stack += [(tensor.producer or tensor.kind, tensor.origin.source), (tensor.tensor, tensor.origin.source)]
        samples.append([frames.setdefault(frame, len(frames)) for frame in stack])
    profiles = []
    for title, rows in (("alive at the peak", sorted(at_peak)), ("made in the whole run", range(len(samples)))):
        kept = [row for row in rows if profile.tensors[row].nbytes]
        weights = [profile.tensors[row].nbytes for row in kept]
        profiles.append(
            {
                "type": "sampled",
                "name": title,
                "unit": "bytes",
                "startValue": 0,
                "endValue": sum(weights),
                "samples": [samples[row] for row in kept],
                "weights": weights,
            }
        )
    return compact_json(
        {
            "$schema": "https://www.speedscope.app/file-format-schema.json",
            "name": name,
            "exporter": f"graphmem@{version}",
            "activeProfileIndex": 0,
            "shared": {"frames": [_speedscope_frame(*frame) for frame in frames]},
            "profiles": profiles,
        }
    )


def _speedscope_frame(name: str, source: str) -> dict[str, Any]:
    file, _, line = source.rpartition(":")
    return {"name": name, "file": file, "line": int(line)} if line.isdecimal() else {"name": name}


def trace(profile: Profile, name: str) -> str:
    """Chrome/Perfetto trace events: operations inside their modules, one microsecond a step, and counters of bytes."""
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": 1, "tid": 1, "args": {"name": name}},
        {"ph": "M", "name": "thread_name", "pid": 1, "tid": 1, "args": {"name": profile.name}},
    ]
    events += _module_slices(profile)
    for number, (step, origin) in enumerate(zip(profile.schedule.steps, profile.origins, strict=True)):
        live = int(profile.timeline.live[number])
        args = {"node": step.name, "scope": origin.scope, "source": origin.source, "live_bytes": live}
        events.append({"ph": "X", "ts": number, "dur": 1, "pid": 1, "tid": 1, "name": step.operator, "args": args})
        bytes_ = {band.kind: int(band.live[number]) for band in profile.bands}
        events.append({"ph": "C", "ts": number, "pid": 1, "tid": 1, "name": "live bytes", "args": bytes_})
    if profile.standing:
        events.append({"ph": "C", "ts": 0, "pid": 1, "name": "weights", "args": {"weights": profile.standing}})
    return compact_json({"traceEvents": events, "displayTimeUnit": "ms"})


def _module_slices(profile: Profile) -> list[dict[str, Any]]:
    """Every stretch of steps inside one module, outer ones first, so that slices nest."""
    paths = [tuple(origin.scope.split(".")) if origin.scope else () for origin in profile.origins]
    found = []
    for depth in range(max(map(len, paths), default=0)):
        prefixes = [path[: depth + 1] if len(path) > depth else None for path in paths]
        edges = [0, *(i for i in range(1, len(prefixes)) if prefixes[i] != prefixes[i - 1]), len(prefixes)]
        for start, stop in pairwise(edges):
            prefix = prefixes[start]
            if prefix is not None:
                place = {"ts": start, "dur": stop - start, "pid": 1, "tid": 1}
                found.append({"ph": "X", **place, "name": ".".join(prefix), "args": {}})
    return sorted(found, key=lambda event: (event["ts"], -event["dur"], len(event["name"])))


def lifetimes_csv(profile: Profile) -> str:
    """`id,lower,upper,size[,offset]` rows with half-open intervals, as `graphmem plan --lifetimes` reads them.

    Names that several buffers share, as those of a repeated computation, are numbered: "x", "x#2".
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    offsets = profile.offsets
    writer.writerow(["id", "lower", "upper", "size", *(["offset"] if offsets else [])])
    names = csv_names(profile.lifetimes.buffers)
    for row, (name, lifetime) in enumerate(zip(names, profile.lifetimes, strict=True)):
        own = [name, lifetime.start, lifetime.stop, lifetime.nbytes]
        writer.writerow([*own, *([offsets[row]] if offsets else [])])
    return text.getvalue()
