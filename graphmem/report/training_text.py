"""Training -> the terminal summary: peak, where, what it is made of, the phases as a plot, the largest activations."""

from __future__ import annotations

import io

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from graphmem.ir.training import PHASES, Training
from graphmem.report.units import SIGNS, shape, size

PLOT_ROWS = 8
NOTES_SHOWN = 12
_BLOCKS = " ▁▂▃▄▅▆▇█"
_COLORS = {"forward": "yellow", "backward": "red", "optimizer": "blue"}


def training_text(training: Training, width: int = 80, color: bool = False) -> str:
    """The summary, `width` columns wide."""
    buffer = io.StringIO()
    console = Console(
        file=buffer, width=max(width, 60), force_terminal=color, no_color=not color, highlight=False,
        color_system="truecolor" if color else None,
    )  # fmt: skip
    for part in (_headline(training), _peak(training), _breakdown(training), _plot(training, console.width)):
        console.print(part)
        console.print()
    console.print(Text(f"largest saved activations (of {size(training.saved_bytes)})", style="bold"))
    console.print(_saved(training, console.width))
    notes = _notes(training)
    if notes:
        console.print()
    for line in notes:
        console.print(line)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def _headline(training: Training) -> Text:
    settings = training.settings
    line = Text("graphmem ", style="dim").append(training.model.name, style="bold not dim")
    return line.append(
        f"   training step · {settings.loss} · {settings.optimizer} ({settings.form}) · {settings.device}", style="dim"
    )


def _peak(training: Training) -> Text:
    sign = SIGNS[training.exactness]
    text = Text("peak  ").append(f"{sign}{size(training.peak)}", style="bold magenta")
    text.append(f"  ({training.peak:,} bytes)", style="dim")
    where = " in ".join(filter(None, (training.peak_operator or "an allocation", training.peak_node)))
    text.append(f"\nat    {training.peak_phase}: {where}")
    place = " ".join(filter(None, (training.peak_origin.scope, training.peak_origin.source)))
    text.append(f"\nof    {place}" if place else "")
    if training.allocator is not None:
        found = training.allocator
        text.append(f"\nCUDA  allocated {size(found.allocated)}, reserved {size(found.reserved)}")
        text.append(f" (expandable segments {size(found.reserved_expandable)})")
        text.append(f", of these cuBLAS workspace {size(found.cublas_workspace)};")
        text.append(f" context beside it about {size(found.context)}; cuDNN workspace not known")
    return text


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
    live = training.timeline.live
    columns = min(live.size, width - 14, 100)
    edges = np.linspace(0, live.size, columns + 1).astype(np.int64)
    heights = np.maximum.reduceat(live, edges[:-1]).tolist()
    phases = [training.schedule.steps[int(edge)].phase for edge in edges[:-1]]
    peak_column = int(np.searchsorted(edges, training.timeline.peak_step, side="right")) - 1
    text = Text()
    for row in range(PLOT_ROWS, 0, -1):
        label = {PLOT_ROWS: size(training.peak), PLOT_ROWS // 2: size(training.peak // 2)}.get(row, "")
        text.append(f"{label:>10} ┤" if label else f"{'':>10} │", style="dim")
        for column, height in enumerate(heights):
            eighths = int(np.clip(round(height / training.peak * PLOT_ROWS * 8) - (row - 1) * 8, 0, 8))
            text.append(_BLOCKS[eighths], style="magenta" if column == peak_column else _COLORS[phases[column]])
        text.append("\n")
    text.append(f"{'':>10} └" + "─" * columns + "\n", style="dim")
    text.append(f"{'':>12}" + " " * peak_column + "▲ peak\n", style="dim")
    text.append(f"{'':>12}" + _phase_line(phases, columns) + "\n", style="dim")
    peaks = "   ".join(f"{phase} {size(training.phase_peaks[phase])}" for phase in PHASES)
    return text.append(f"{'':>12}{peaks}")


def _phase_line(phases: list[str], columns: int) -> str:
    """Names of the phases under where they begin; those without room are left out."""
    line = [" "] * columns
    for phase in PHASES:
        if phase in phases:
            at = phases.index(phase)
            for i, letter in enumerate(f"|{phase}"):
                if at + i < columns and phases[at + i] == phase:
                    line[at + i] = letter
    return "".join(line)


def _saved(training: Training, width: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    for name in ("tensor", "type"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=max(18, width // 4))
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("made by", no_wrap=True)
    has_module = width >= 90 and any(row.origin.scope for row in training.saved)
    has_source = width >= 130 and any(row.origin.source for row in training.saved)
    if has_module:
        table.add_column("module", overflow="ellipsis", no_wrap=True)
    if has_source:
        table.add_column("source", overflow="ellipsis", no_wrap=True)
    for row in training.saved:
        cells = [row.name, f"{row.type.dtype} {shape(row.type)}", size(row.nbytes), row.operator]
        cells += [row.origin.scope] if has_module else []
        cells += [row.origin.source] if has_source else []
        table.add_row(*cells)
    return table


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
    if not training.is_complete:
        reading = {"at most": "an upper bound", "at least": "a lower bound"}[training.exactness]
        notes.append(Text(f"incomplete: the figures above are {reading}", style="bold yellow"))
    return notes


def _places(places: list[str]) -> str:
    return places[0] if len(places) == 1 else f"{places[0]} and {len(places) - 1} more"
