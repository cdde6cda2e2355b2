"""Training -> the terminal summary: peak, where, what it is made of, the phases as a plot, the largest activations.

Training -> JSON text (schema graphmem.training/1).
"""

from __future__ import annotations

import io
import json
from typing import Any

from rich.table import Table
from rich.text import Text

from graphmem.ir.graph import Origin
from graphmem.ir.training import PHASES, Training
from graphmem.report.terminal import console_of, fitted, plotted, written
from graphmem.report.units import SIGNS, shape, size

NOTES_SHOWN = 12
_COLORS = {"forward": "yellow", "backward": "red", "optimizer": "blue"}


def training_text(training: Training, width: int = 80, color: bool = False) -> str:
    """The summary, `width` columns wide."""
    buffer = io.StringIO()
    console = console_of(buffer, width, color)
    for part in (_headline(training), _peak(training), _breakdown(training), _plot(training, console.width)):
        console.print(part)
        console.print()
    console.print(Text(f"largest saved activations (of {_signed(training, training.saved_bytes)})", style="bold"))
    console.print(_saved(training, console.width))
    notes = _notes(training)
    if notes:
        console.print()
    for line in notes:
        console.print(line)
    return written(buffer)


def _headline(training: Training) -> Text:
    settings = training.settings
    line = Text("graphmem ", style="dim").append(training.model.name, style="bold not dim")
    asked = [settings.loss, f"{settings.optimizer} ({settings.optimizer_form})", settings.device]
    asked += [settings.precision] if settings.precision != "fp32" else []
    asked += [f"{settings.accumulate} passes"] if settings.accumulate > 1 else []
    asked += [f"checkpoint {', '.join(settings.checkpoint)}"] if settings.checkpoint else []
    asked += [f"LoRA {settings.lora}"] if settings.lora else []
    asked += [f"{' and '.join(settings.offload)} on the host"] if settings.offload else []
    return line.append("   training step · " + " · ".join(asked), style="dim")


def _peak(training: Training) -> Text:
    text = Text("peak  ").append(_signed(training, training.peak), style="bold magenta")
    text.append(f"  ({training.peak:,} bytes)", style="dim")
    where = " in ".join(filter(None, (training.peak_operator or "an allocation", training.peak_node)))
    text.append(f"\nat    {training.peak_phase}: {where}")
    place = " ".join(filter(None, (training.peak_origin.scope, training.peak_origin.source)))
    text.append(f"\nof    {place}" if place else "")
    if training.allocator is not None:
        found = training.allocator
        sign = ">= " if found.unknown else SIGNS[training.exactness]
        text.append(f"\nCUDA  allocated {sign}{size(found.allocated)}, reserved {sign}{size(found.reserved)}")
        text.append(f" (expandable segments {sign}{size(found.reserved_expandable)})")
        text.append(f", of these cuBLAS workspace {size(found.cublas_workspace)};")
        text.append(f" context beside it about {size(found.context)}")
        text.append(f"; not counted: {', '.join(found.unknown)}" if found.unknown else "")
    return text


def _signed(training: Training, nbytes: int) -> str:
    """A figure with the sign that says how to read it."""
    return SIGNS[training.exactness] + size(nbytes)


def _breakdown(training: Training) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    table.add_column("at the peak", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("%", justify="right", no_wrap=True)
    for name, nbytes in training.breakdown.items():
        beside = name == "workspace"
        share = "" if beside or not training.peak else f"{100 * nbytes / training.peak:.0f}"
        label = name.replace("_", " ") + (" (beside the peak)" if beside else "")
        table.add_row(label, size(nbytes), share)
    return table


def _plot(training: Training, width: int) -> Text:
    """Live bytes over the operators of the step, one colour a phase."""
    steps = training.schedule.steps

    def under(columns: int, peak_column: int, edges: list[int]) -> str:
        del peak_column
        return _phase_line([steps[edge].phase for edge in edges], columns)

    peaks = "   ".join(f"{phase} {_signed(training, training.phase_peaks[phase])}" for phase in PHASES)
    color = _COLORS.__getitem__
    return plotted(
        training.timeline.live, training.timeline.peak_step, width, under, lambda step, _: color(steps[step].phase)
    ).append(f"\n{'':>13}{peaks}")


def _phase_line(phases: list[str], columns: int) -> str:
    """Names of the phases under where they begin; those without room are left out."""
    line = [" "] * columns
    starts = [i for i, phase in enumerate(phases) if i == 0 or phase != phases[i - 1]]
    for at in starts:
        for i, letter in enumerate(f"|{phases[at]}"):
            if at + i < columns and phases[at + i] == phases[at] and (i == 0 or at + i not in starts):
                line[at + i] = letter
            else:
                break
    return "".join(line)


def _saved(training: Training, width: int) -> Table:
    rows = training.saved
    columns = {
        "tensor": [row.name for row in rows],
        "type": [f"{row.type.dtype} {shape(row.type)}" for row in rows],
        "size": [size(row.nbytes) for row in rows],
        "made by": [row.operator for row in rows],
        "module": [row.origin.scope for row in rows],
        "source": [row.origin.source for row in rows],
    }
    return fitted(columns, width)


def _notes(training: Training) -> list[Text]:
    """Inferences folded by kind, then issues."""
    by_kind: dict[str, list[str]] = {}
    effects: dict[str, str] = {}
    for inferred in training.inferred:
        if inferred.nbytes is not None:
            effects[inferred.what] = f" ({'-' if inferred.nbytes < 0 else '+'}{size(abs(inferred.nbytes))})"
        by_kind.setdefault(inferred.what, []).append(inferred.where)
    notes = [
        Text("inferred: ", style="yellow").append(f"{what}{effects.get(what, '')}: {_places(places)}", style="default")
        for what, places in by_kind.items()
    ]
    notes += [
        Text(f"{issue.kind}: ", style="yellow").append(f"{issue.where}: {issue.what}", style="default")
        for issue in training.issues[:NOTES_SHOWN]
    ]
    if len(training.issues) > NOTES_SHOWN:
        notes.append(Text(f"and {len(training.issues) - NOTES_SHOWN} more issues", style="dim"))
    if not training.is_complete:
        reading = {"at most": "an upper bound", "at least": "a lower bound"}[training.exactness]
        notes.append(Text(f"incomplete: the figures above are {reading}", style="bold yellow"))
    return notes


def _places(places: list[str]) -> str:
    return places[0] if len(places) == 1 else f"{places[0]} and {len(places) - 1} more"


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
            "form": settings.optimizer_form,
            "device": settings.device,
            "frozen": list(settings.freeze),
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
