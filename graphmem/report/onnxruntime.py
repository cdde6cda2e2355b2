"""OnnxRuntimeMemory -> the lines of the terminal summary that only this memory model has."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from graphmem.ir.runtime import OnnxRuntimeMemory
from graphmem.report.units import size


def runtime_figures(memory: OnnxRuntimeMemory, sign: str = "") -> Table:
    """First run, later runs, arena, side by side, each with the sign of how to read it."""
    table = Table(box=None, padding=(0, 3, 0, 0), show_edge=False)
    for heading in ("first run", "later runs (pattern)", "arena holds", "onnxruntime"):
        table.add_column(heading, header_style="dim", no_wrap=True)
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
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    for heading in ("to lower the peak", "saves", "first run", "later runs"):
        table.add_column(heading, no_wrap=True)
    for row in memory.advice:
        table.add_row(row.change, size(row.saving), size(row.first_run_peak), size(row.later_peak))
    return Group(table, Text("\n" + memory.advice[0].code, style="green"))
