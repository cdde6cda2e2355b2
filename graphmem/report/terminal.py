"""Parts of a summary -> text for a terminal: on it no name can act; tables drop columns, plots show live bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from graphmem.ir.memory import IntColumn
from graphmem.ir.quoting import lines_text
from graphmem.report.units import size

if TYPE_CHECKING:
    from rich.console import JustifyMethod

LEAST_WIDTH = 50  # narrower terminals wrap the lines: a figure is never cut
PLOT_ROWS = 7
_BLOCKS = " ▁▂▃▄▅▆▇█"
_LEAST_NAME = 12

# Columns that give way when the terminal is narrow, the first one first; name, type and size never do.
DROPPED_FIRST = ("source", "module", "made by", "steps", "%")


class _Screen(Console):
    """A console that reads no markup and shows what does not print as "?", but for the ends of lines."""

    def render_str(self, text: str, **how: Any) -> Text:
        """A cell or a line, as it is."""
        return super().render_str(_printable(text), **{**how, "markup": False, "emoji": False, "highlight": False})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is printed or stands in a table."""
        if isinstance(renderable, Text):
            renderable = renderable.copy()
            renderable.plain = _printable(renderable.plain)
        return super().render(renderable, options)


def _printable(text: str) -> str:
    return text if text.isprintable() else lines_text(text.split("\n"))


def width_of(columns: int) -> int:
    """The width that a summary for a terminal of so many columns takes."""
    return max(columns, LEAST_WIDTH)


def printed(parts: Iterable[RenderableType], width: int, color: bool) -> str:
    """The parts one below the other, `width_of` the terminal wide, without blanks at the ends of lines."""
    buffer = io.StringIO()
    console = _Screen(
        file=buffer,
        width=width_of(width),
        force_terminal=color,
        no_color=not color,
        highlight=False,
        soft_wrap=False,
        color_system="truecolor" if color else None,
    )
    for part in parts:
        console.print(part)
    return "\n".join(line.rstrip() for line in buffer.getvalue().removesuffix("\n").split("\n"))


def plain_table(*columns: str, left: Sequence[str] = (), gap: int = 2) -> Table:
    """A table of figures, to the right but for the first column and those named in `left`; no cell is cut."""
    table = Table(box=None, padding=(0, gap, 0, 0), show_edge=False, header_style="dim")
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number and name not in left else "left", no_wrap=True)
    return table


def fitted(columns: Mapping[str, Sequence[str]], width: int, more: int = 0) -> Table:
    """One line per row, as many columns as fit without cutting a figure; the first column, a name, may be shortened."""
    first = next(iter(columns))
    shown = {name: cells for name, cells in columns.items() if any(cells) or name == first}
    widths = {name: max(map(len, (name, *cells))) + 2 for name, cells in shown.items()}
    widths[first] = min(widths[first], max(_LEAST_NAME, width // 4) + 2)
    for name in DROPPED_FIRST:
        if sum(widths.values()) > width and widths.pop(name, 0):
            del shown[name]
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    for name in shown:
        justify: JustifyMethod = "right" if name in ("size", "%") else "left"
        table.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis", width=widths[name] - 2)
    for cells in zip(*shown.values(), strict=True):
        table.add_row(*cells)
    if more:
        table.add_row(f"+ {more} more", style="dim")
    return table


def plotted(
    live: IntColumn, peak_step: int, width: int, under: Callable[[int, int, list[int]], str],
    color: Callable[[int, float], str],
) -> Text:  # fmt: skip
    """Live bytes over steps, each column the most of its steps; the peak's column in another colour.

    `under(columns, peak_column, edges)` is the line below the mark; `color(step, share)` that of a column which starts
    at `step` and is `share` of the peak high.
    """
    top = max(int(live[peak_step]), 1)
    columns = min(live.size, width - 15, 100)
    edges = np.linspace(0, live.size, columns + 1).astype(np.int64)
    heights = np.maximum.reduceat(live, edges[:-1]).tolist()
    peak_column = int(np.searchsorted(edges, peak_step, side="right")) - 1
    styles = [color(int(edge), height / top) for edge, height in zip(edges[:-1], heights, strict=True)]
    styles[peak_column] = "magenta"
    text = Text()
    for row in range(PLOT_ROWS, 0, -1):
        label = {PLOT_ROWS: size(top), (PLOT_ROWS + 1) // 2: size(top // 2)}.get(row, "")
        text.append(f"{label:>11} ┤" if label else f"{'':>11} │", style="dim")
        for style, height in zip(styles, heights, strict=True):
            eighths = int(np.clip(round(height / top * PLOT_ROWS * 8) - (row - 1) * 8, 0, 8))
            text.append(_BLOCKS[eighths], style=style)
        text.append("\n")
    text.append(f"{'':>11} └" + "─" * columns + "\n", style="dim")
    text.append(f"{'':>13}" + " " * peak_column + "▲\n", style="magenta")
    return text.append(f"{'':>13}" + under(columns, peak_column, edges[:-1].tolist()), style="dim")
