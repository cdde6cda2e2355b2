"""Training -> the terminal summary (peak, where, of what, the phases as a plot) and JSON (graphmem.training/1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from graphmem.ir.graph import Origin
from graphmem.ir.quoting import json_text, name_shown
from graphmem.ir.training import PHASES, Training
from graphmem.report.envelope import others_said, question_documents, schema_name, standing, step_document
from graphmem.report.notes import inferred_notes, issue_notes, note_lines, question_notes
from graphmem.report.terminal import fitted, plain_table, plotted, printed, width_of
from graphmem.report.units import SIGNS, shape, size

_COLORS = {"forward": "yellow", "backward": "red", "optimizer": "blue"}


def training_text(training: Training, width: int = 80, color: bool = False) -> str:
    """The summary, `width` columns wide."""
    return printed(_parts(training, width_of(width)), width, color)


def _parts(training: Training, width: int) -> Iterable[RenderableType]:
    for part in (_headline(training), _peak(training), _breakdown(training), _plot(training, width)):
        yield part
        yield ""
    yield Text(f"largest saved activations (of {_signed(training, training.saved_bytes)})", style="bold")
    yield _saved(training, width)
    notes = [*question_notes(training.questions), *inferred_notes(training.inferred), *issue_notes(training.issues)]
    lines = note_lines(notes, training.exactness)
    if lines:
        yield ""
        yield from lines


def _headline(training: Training) -> Text:
    settings = training.settings
    line = Text("graphmem ", style="dim").append(name_shown(training.model.name), style="bold not dim")
    asked = [settings.loss, f"{settings.optimizer} ({settings.optimizer_form})", settings.device]
    asked += [settings.precision] if settings.precision != "fp32" else []
    asked += [f"{settings.accumulate} passes"] if settings.accumulate > 1 else []
    asked += [f"checkpoint {', '.join(settings.checkpoint)}"] if settings.checkpoint else []
    asked += [f"LoRA {settings.lora}"] if settings.lora else []
    asked += [f"{' and '.join(settings.offload)} on the host"] if settings.offload else []
    asked += others_said(settings)
    return line.append("   training step · " + " · ".join(map(name_shown, asked)), style="dim")


def _peak(training: Training) -> Text:
    text = Text("peak  ").append(_signed(training, training.peak), style="bold magenta")
    text.append(f"  ({training.peak:,} bytes)", style="dim")
    if training.questions:
        ends = f"between {size(training.least)} and {size(training.most)}"
        text.append(f"\n      {ends}", style="bold magenta").append(
            ": the file leaves questions open, below", style="dim"
        )
    where = " in ".join(filter(None, (training.peak_operator or "an allocation", training.peak_node)))
    text.append(f"\nat    {training.peak_phase}: {name_shown(where)}")
    place = " ".join(filter(None, (training.peak_origin.scope, training.peak_origin.source)))
    text.append(f"\nof    {name_shown(place)}" if place else "")
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
    table = plain_table("at the peak", "size", "%")
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


def training_json(training: Training, timeline: bool = False) -> str:
    """The whole answer; with `timeline` also the bytes alive in every operator."""
    return json_text(training_document(training, timeline))


def training_document(training: Training, timeline: bool = False) -> dict[str, Any]:
    """The same as plain values."""
    settings, model, found = training.settings, training.model, training.allocator
    document: dict[str, Any] = {
        "schema": schema_name("training"),
        "model": {"name": model.name, "nodes": model.nodes, "parameters": model.parameters},
        "settings": step_document(settings)
        | {
            "precision": settings.precision,
            "accumulate": settings.accumulate,
            "checkpoint": list(settings.checkpoint),
            "lora": settings.lora,
            "offload": list(settings.offload),
        },
        **standing(training.exactness, training.issues),
        "inferred": [
            {"what": i.what, "where": i.where, "evidence": i.evidence, "bytes": i.nbytes} for i in training.inferred
        ],
        "peak_bytes": training.peak,
        "peak_at_least_bytes": training.least if training.exactness != "at most" else None,
        "peak_at_most_bytes": training.most if training.exactness != "at least" else None,
        "questions": question_documents(training.questions),
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
