"""Picture -> Graphviz: its DOT text, and drawings by the first renderer that this machine has."""

from __future__ import annotations

from graphmem.ir.errors import OptionError
from graphmem.ir.quoting import dot_label
from graphmem.report.drawing import layout as layered
from graphmem.report.drawing.picture import ELSEWHERE, Picture
from graphmem.report.drawing.svg import PEAK, heat, svg

GREY = "#8a93a0"
QUICK_ABOVE = 300  # boxes
FORMATS = ("svg", "png", "gv")


def dot(picture: Picture) -> str:
    """DOT text, downwards for a whole run, else left to right, in the colours of the page."""
    from graphviz import Digraph

    drawing = Digraph("graphmem", node_attr={"shape": "box", "style": "filled,rounded", "fontname": "Helvetica"})
    drawing.attr(
        rankdir="TB" if picture.is_whole else "LR",
        label=dot_label([picture.title]),
        labelloc="t",
        fontname="Helvetica",
        nodesep="0.2",
    )
    if len(picture.boxes) > QUICK_ABOVE:  # dot's exact ranking and routing take minutes there
        drawing.attr(nslimit="0.2", nslimit1="0.2", mclimit="0.1", splines="line")
    drawing.attr("edge", fontname="Helvetica", fontsize="10")
    for number, box in enumerate(picture.boxes):
        fill, ink = heat(box.share)
        ring = {"color": PEAK, "penwidth": "4"} if box.is_peak else {"color": "#8d6e63"}
        drawing.node(f"b{number}", dot_label(box.label), fillcolor=fill, fontcolor=ink, **ring)
    for number, arrow in enumerate(picture.arrows):
        ends = []
        for end, name in ((arrow.source, f"from{arrow.row}"), (arrow.target, f"to{number}")):
            if end == ELSEWHERE:
                drawing.node(name, "…", shape="plaintext", style="")
            ends.append(name if end == ELSEWHERE else f"b{end}")
        color = PEAK if arrow.at_peak else GREY
        wide = f"{1 + 4 * min(arrow.share, 1.0):.1f}"
        loose = {"constraint": "false"} if arrow.is_loose and picture.is_whole else {}
        drawing.edge(
            ends[0], ends[1], **loose, label=dot_label(arrow.label), color=color, fontcolor=color, penwidth=wide
        )
    return str(drawing.source)


def drawn(picture: Picture, format_: str) -> str | bytes:
    """The picture as "gv", "svg" or "png": by Graphviz's dot, else pygraphviz, else (SVG only) our own layout.

    OptionError says what to install, or which level to take, when none of them can.
    """
    source = dot(picture)
    if format_ == "gv":
        return source
    rendered = _by_graphviz(source, format_)
    if rendered is None:
        rendered = _by_pygraphviz(source, format_)
    if rendered is not None:
        return rendered
    if format_ != "svg":
        raise OptionError("a PNG needs Graphviz: install it, or `pip install graphmem[draw]`, or write .svg instead")
    if len(picture.boxes) > layered.MOST_BOXES:
        raise OptionError(
            f"{len(picture.boxes)} boxes need Graphviz: install it, or `pip install graphmem[draw]`, "
            "or draw fewer with --around peak or --level block"
        )
    return svg(picture)


def _by_graphviz(source: str, format_: str) -> bytes | None:
    import graphviz

    try:
        return bytes(graphviz.Source(source).pipe(format=format_))
    except graphviz.ExecutableNotFound:
        return None


def _by_pygraphviz(source: str, format_: str) -> bytes | None:
    try:
        import pygraphviz
    except ImportError:
        return None
    return bytes(pygraphviz.AGraph(string=source).draw(prog="dot", format=format_))
