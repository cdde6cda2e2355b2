"""Analysis -> the terminal summary: weights, peak, where, a plot of live bytes, what is alive at the peak."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from graphmem.ir.analysis import Analysis, Inference, LiveTensor
from graphmem.ir.graph import Issue
from graphmem.ir.memory import IntColumn
from graphmem.ir.types import TensorType
from graphmem.report.onnxruntime import runtime_advice, runtime_figures
from graphmem.report.units import SIGNS, count, shape, size

if TYPE_CHECKING:
    from rich.console import JustifyMethod

PLOT_ROWS = 7
LEAST_WIDTH = 50  # narrower terminals wrap the lines: a figure is never cut
ROWS_SHOWN = 10
_BLOCKS = " ▁▂▃▄▅▆▇█"


def analysis_text(analysis: Analysis, width: int = 80, color: bool = False) -> str:
    """The summary, `width` columns wide; figures are never cut, columns are dropped instead."""
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=max(width, LEAST_WIDTH),
        force_terminal=color,
        no_color=not color,
        highlight=False,
        soft_wrap=False,
        color_system="truecolor" if color else None,
    )
    run = analysis.inference
    console.print(_headline(analysis))
    console.print()
    console.print(_figures(analysis))
    console.print(_where(run))
    if run.onnxruntime is not None:
        console.print()
        console.print(runtime_figures(run.onnxruntime, SIGNS[analysis.exactness]))
    if run.timeline.live.size:
        console.print()
        console.print(_plot(run, console.width))
    console.print()
    sign = SIGNS[analysis.exactness]
    console.print(Text(f"alive at the peak ({sign}{size(run.peak)}, step {run.peak_step})", style="bold"))
    console.print(_table(run.live_at_peak, run.peak, console.width))
    if run.workspace:
        console.print(f"and {size(run.workspace)} inside {run.peak_operator} itself")
    console.print()
    console.print(Text("greatest tensors", style="bold"))
    console.print(_table(run.greatest, 0, console.width))
    if run.onnxruntime is not None:
        console.print()
        console.print(runtime_advice(run.onnxruntime))
    notes = _notes(analysis)
    if notes:
        console.print()
    for line in notes:
        console.print(line)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def _headline(analysis: Analysis) -> Text:
    model, run = analysis.model, analysis.inference
    opset = model.opsets.get("", 0)
    facts = [f"{model.nodes} nodes", f"{len(run.schedule.steps)} steps", f"{count(model.parameters)} parameters"]
    facts += [f"opset {opset}"] if opset else []
    line = Text("graphmem ", style="dim").append(model.name, style="bold not dim")
    line.append("   " + " · ".join(facts), style="dim")
    inputs = [
        f"{name} {type_.dtype} {shape(type_)}" for name, type_ in model.inputs.items() if isinstance(type_, TensorType)
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


def _where(run: Inference) -> Text:
    place = " ".join(
        filter(None, (run.peak_origin.scope, f"({run.peak_origin.source})" if run.peak_origin.source else ""))
    )
    line = Text("at step ", style="dim").append(f"{run.peak_step} of {len(run.schedule.steps)}", style="magenta")
    line.append(f", {run.peak_operator}", style="magenta")
    line.append(f" in {place}" if place else "")
    proof = "; proved: no order is lower" if run.is_optimal_order else ""
    return line.append(f"\n{run.memory_model} memory model, {run.order} order{proof}", style="dim")


def _plot(run: Inference, width: int) -> Text:
    """Live bytes over steps, each column the most of its steps; the peak's column in another colour."""
    live = run.timeline.live
    columns = min(live.size, width - 15, 100)
    heights, peak_column = _columns(live, columns, run.peak_step)
    top = max(run.peak, 1)
    text = Text()
    for row in range(PLOT_ROWS, 0, -1):
        label = {PLOT_ROWS: size(top), (PLOT_ROWS + 1) // 2: size(top // 2)}.get(row, "")
        text.append(f"{label:>11} ┤" if label else f"{'':>11} │", style="dim")
        for column, height in enumerate(heights):
            eighths = int(np.clip(round(height / top * PLOT_ROWS * 8) - (row - 1) * 8, 0, 8))
            style = (
                "magenta"
                if column == peak_column
                else "red"
                if height > 0.9 * top
                else "yellow"
                if height > top / 2
                else "blue"
            )
            text.append(_BLOCKS[eighths], style=style)
        text.append("\n")
    text.append(f"{'':>11} └" + "─" * columns + "\n", style="dim")
    text.append(f"{'':>13}" + " " * peak_column + "▲\n", style="magenta")
    text.append(f"{'':>13}" + _axis(columns, peak_column, live.size - 1), style="dim")
    return text


def _axis(columns: int, peak_column: int, last_step: int) -> str:
    """The first and last step, and under the mark the word "peak", which gives way to neither."""
    first, last = "0", str(last_step)
    middle = min(max(peak_column - 2, len(first) + 1), max(columns - len(last) - 5, len(first) + 1))
    return f"{first.ljust(middle)}peak".ljust(max(columns - len(last), middle + 5)) + last


def _columns(live: IntColumn, columns: int, peak_step: int) -> tuple[list[int], int]:
    edges = np.linspace(0, live.size, columns + 1).astype(np.int64)
    heights = np.maximum.reduceat(live, edges[:-1])
    return heights.tolist(), int(np.searchsorted(edges, peak_step, side="right")) - 1


# Columns that give way when the terminal is narrow, the first one first; name, type and size never do.
_DROPPED_FIRST = ("source", "module", "made by", "steps", "%")
_LEAST_NAME = 12


def _table(rows: tuple[LiveTensor, ...], peak: int, width: int) -> Table:
    """One line per tensor, the greatest first; as many columns as fit without cutting a figure."""
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
    columns = {name: cells for name, cells in columns.items() if any(cells) or name == "tensor"}
    widths = {name: max(map(len, (name, *cells))) + 2 for name, cells in columns.items()}
    widths["tensor"] = min(widths["tensor"], max(_LEAST_NAME, width // 4) + 2)
    for name in _DROPPED_FIRST:
        if sum(widths.values()) > width and widths.pop(name, 0):
            del columns[name]
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    for name in columns:
        justify: JustifyMethod = "right" if name in ("size", "%") else "left"
        table.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis", width=widths[name] - 2)
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*cells)
    if len(rows) > ROWS_SHOWN:
        table.add_row(f"+ {len(rows) - ROWS_SHOWN} more", style="dim")
    return table


def _typed(row: LiveTensor) -> str:
    dtype = getattr(row.type, "dtype", None)
    return f"{dtype} {shape(row.type)}" if dtype else str(row.type)


def _notes(analysis: Analysis) -> list[Text]:
    """What was assumed and what is missing; consequences are folded under their causes."""
    lines = [_note(issue, "note") for issue in analysis.issues if issue.effect == "exact"]
    roots = [issue for issue in analysis.issues if issue.is_root and issue.effect != "exact"]
    lines += [_note(issue, issue.kind) for issue in roots[:ROWS_SHOWN]]
    folded = sum(not issue.is_root for issue in analysis.issues) + max(0, len(roots) - ROWS_SHOWN)
    if folded:
        lines.append(Text(f"and {folded} more that follow from these", style="dim"))
    if not analysis.is_complete:
        reading = {"at most": "an upper bound", "at least": "a lower bound"}[analysis.exactness]
        lines.append(Text(f"incomplete: every figure above is {reading}", style="bold yellow"))
    return lines


def _note(issue: Issue, label: str) -> Text:
    return Text(f"{label}: ", style="yellow").append(f"{issue.where}: {issue.what}", style="default")
