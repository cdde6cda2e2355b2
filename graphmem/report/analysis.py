"""Analysis -> the terminal summary (weights, peak, where, plot, what is alive there) and JSON (graphmem.analysis/1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from graphmem.ir.analysis import Analysis, Inference, LiveTensor
from graphmem.ir.quoting import json_text, name_shown
from graphmem.ir.runtime import OnnxRuntimeMemory
from graphmem.ir.types import BoundedType, OptionalType, SequenceType, TensorType, Type, UnknownType
from graphmem.report.envelope import schema_name, standing
from graphmem.report.notes import issue_notes, note_lines
from graphmem.report.terminal import fitted, plain_table, plotted, printed, width_of
from graphmem.report.units import SIGNS, count, shape, size


def runtime_figures(memory: OnnxRuntimeMemory, sign: str = "") -> Table:
    """First run, later runs, arena, side by side, each with the sign of how to read it."""
    headings = ("first run", "later runs (pattern)", "arena holds", "onnxruntime")
    table = plain_table(*headings, left=headings, gap=3)
    off = Text("off", style="dim")
    table.add_row(
        sign + size(memory.first_run_peak),
        off if memory.pattern_peak is None else sign + size(memory.pattern_peak),
        off if memory.arena is None else sign + size(memory.arena),
        memory.version,
    )
    return table


def runtime_advice(memory: OnnxRuntimeMemory) -> Group | Text:
    """What to change, what the peaks would then be, and the code of the first row."""
    if not memory.advice:
        return Text("no session option lowers the peak", style="dim")
    headings = ("to lower the peak", "saves", "first run", "later runs")
    table = plain_table(*headings, left=headings)
    for row in memory.advice:
        table.add_row(row.change, size(row.saving), size(row.first_run_peak), size(row.later_peak))
    return Group(table, Text("\n" + memory.advice[0].code, style="green"))


ROWS_SHOWN = 10


def analysis_text(analysis: Analysis, width: int = 80, color: bool = False) -> str:
    """The summary, `width` columns wide; figures are never cut, columns are dropped instead."""
    return printed(_parts(analysis, width_of(width)), width, color)


def _parts(analysis: Analysis, width: int) -> Iterable[RenderableType]:
    run, sign = analysis.inference, SIGNS[analysis.exactness]
    yield _headline(analysis)
    yield ""
    yield _figures(analysis)
    yield _where(analysis)
    if run.onnxruntime is not None:
        yield ""
        yield runtime_figures(run.onnxruntime, sign)
    if run.timeline.live.size:
        yield ""
        yield _plot(run, width)
    yield ""
    yield Text(f"alive at the peak ({sign}{size(run.peak)}, step {run.peak_step})", style="bold")
    yield _table(run.live_at_peak, run.peak, width)
    if run.workspace:
        yield f"and {size(run.workspace)} inside {name_shown(run.peak_operator)} itself"
    yield ""
    yield Text("greatest tensors", style="bold")
    yield _table(run.greatest, 0, width)
    if run.onnxruntime is not None:
        yield ""
        yield runtime_advice(run.onnxruntime)
    notes = note_lines(issue_notes(analysis.issues), analysis.exactness)
    if notes:
        yield ""
        yield from notes


def _headline(analysis: Analysis) -> Text:
    model, run = analysis.model, analysis.inference
    opset = model.opsets.get("", 0)
    facts = [f"{model.nodes} nodes", f"{len(run.schedule.steps)} steps", f"{count(model.parameters)} parameters"]
    facts += [f"opset {opset}"] if opset else []
    line = Text("graphmem ", style="dim").append(name_shown(model.name), style="bold not dim")
    line.append("   " + " · ".join(facts), style="dim")
    inputs = [
        f"{name_shown(name)} {type_.dtype} {shape(type_)}"
        for name, type_ in model.inputs.items()
        if isinstance(type_, TensorType)
    ]
    return line.append("\ninputs   " + ", ".join(inputs), style="dim") if inputs else line


def _figures(analysis: Analysis) -> Table:
    run, sign = analysis.inference, SIGNS[analysis.exactness]
    table = Table(box=None, padding=(0, 3, 0, 0), show_edge=False)
    table.add_column("peak", header_style="dim", no_wrap=True)
    table.add_column("weights", header_style="dim", no_wrap=True)
    table.add_column("activations at peak", header_style="dim", overflow="fold")
    table.add_row(
        Text(sign + size(analysis.peak_with_weights), style="bold"),
        size(analysis.model.weight_bytes),
        Text(f"{sign}{size(run.peak)} = {run.peak:,} bytes", style="magenta"),
    )
    return table


def _where(analysis: Analysis) -> Text:
    run = analysis.inference
    place = " ".join(
        filter(None, (run.peak_origin.scope, f"({run.peak_origin.source})" if run.peak_origin.source else ""))
    )
    line = Text("at step ", style="dim").append(f"{run.peak_step} of {len(run.schedule.steps)}", style="magenta")
    line.append(f", {name_shown(run.peak_operator)}", style="magenta")
    line.append(f" in {name_shown(place)}" if place else "")
    proof = "; proved: no order is lower" if run.is_optimal_order and analysis.is_complete else ""
    return line.append(f"\n{run.memory_model} memory model, {run.order} order{proof}", style="dim")


def _plot(run: Inference, width: int) -> Text:
    last = run.timeline.live.size - 1
    return plotted(
        run.timeline.live,
        run.peak_step,
        width,
        lambda columns, peak_column, _: _axis(columns, peak_column, last),
        lambda _, share: "red" if share > 0.9 else "yellow" if share > 0.5 else "blue",
    )


def _axis(columns: int, peak_column: int, last_step: int) -> str:
    """The first and last step, and under the mark the word "peak", which gives way to neither."""
    first, last = "0", str(last_step)
    middle = min(max(peak_column - 2, len(first) + 1), max(columns - len(last) - 5, len(first) + 1))
    return f"{first.ljust(middle)}peak".ljust(max(columns - len(last), middle + 5)) + last


def _table(rows: tuple[LiveTensor, ...], peak: int, width: int) -> Table:
    """One line per tensor, the greatest first."""
    shown = rows[:ROWS_SHOWN]
    columns = {
        "tensor": [row.tensor for row in shown],
        "type": [_typed(row) for row in shown],
        "size": [size(row.nbytes) for row in shown],
        "%": [f"{100 * row.nbytes / peak:.0f}" if peak else "" for row in shown],
        "steps": [f"{row.first_step}–{row.last_step}" for row in shown],
        "made by": [row.producer or row.kind for row in shown],
        "module": [row.origin.scope for row in shown],
        "source": [row.origin.source for row in shown],
    }
    return fitted(columns, width, max(0, len(rows) - ROWS_SHOWN))


def _typed(row: LiveTensor) -> str:
    dtype = getattr(row.type, "dtype", None)
    return f"{dtype} {shape(row.type)}" if dtype else str(row.type)


def analysis_json(analysis: Analysis, tensors: bool = False, timeline: bool = False) -> str:
    """The whole analysis, or with `tensors` and `timeline` also every type and every step's live bytes."""
    return json_text(analysis_document(analysis, tensors, timeline))


def analysis_document(analysis: Analysis, tensors: bool = False, timeline: bool = False) -> dict[str, Any]:
    """The same as plain values."""
    model, run = analysis.model, analysis.inference
    document: dict[str, Any] = {
        "schema": schema_name("analysis"),
        "model": {
            "name": model.name,
            "nodes": model.nodes,
            "parameters": model.parameters,
            "weight_bytes": model.weight_bytes,
            "opsets": {domain or "ai.onnx": version for domain, version in model.opsets.items()},
            "inputs": {name: _described(type_) for name, type_ in model.inputs.items()},
        },
        **standing(analysis.exactness, analysis.issues),
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
