"""Picture -> SVG by the layout of this package, for pages and without Graphviz; a share of the peak -> its colour."""

from __future__ import annotations

from importlib.resources import files

from graphmem.ir.quoting import markup
from graphmem.report.drawing.layout import Layout, layout
from graphmem.report.drawing.picture import ELSEWHERE, Arrow, Box, Picture

# (fill, ink) of equal steps from 0 to the peak; read in print and by most colour-blind eyes.
HEAT = (
    ("#fff7dc", "#000000"),
    ("#ffe3a1", "#000000"),
    ("#fdc36a", "#000000"),
    ("#fc9a4a", "#000000"),
    ("#f26c35", "#ffffff"),
    ("#d5302a", "#ffffff"),
    ("#a50f15", "#ffffff"),
)
PEAK = "#6a0dad"


def heat(share: float) -> tuple[str, str]:
    """Fill and ink of a share in 0..1."""
    return HEAT[min(len(HEAT) - 1, int(share * len(HEAT)))]


LETTER = 6.2  # mean width of a letter at 11 px; labels are as wide per letter, with their margin
BOX_HEIGHT = 38.0
LABEL_HEIGHT = 30.0
MARGIN = 14.0


def svg(picture: Picture, is_standalone: bool = True) -> str:
    """The drawing; in a page it takes its style from the page, alone it brings its own and its title."""
    boxes, ends, shown = _stubbed(picture)
    sizes = [(max(len(line) for line in box.label) * LETTER + 22, BOX_HEIGHT) if box else (18.0, 18.0) for box in boxes]
    labelled = _labelled(shown)
    widths = [
        max(len(line) for line in arrow.label) * LETTER if has else 0.0
        for arrow, has in zip(shown, labelled, strict=True)
    ]
    places = layout(sizes, ends, widths, LABEL_HEIGHT)
    top = 44.0 if is_standalone else LABEL_HEIGHT / 2
    width, height = places.width + 2 * MARGIN, places.height + top + MARGIN + LABEL_HEIGHT / 2
    area = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    if not is_standalone:  # shrink to the page, but not beyond reading
        area += f' style="width:{width:.0f}px;max-width:max(100%,{0.7 * width:.0f}px);height:auto"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" {area} role="img">',
        f"<title>{markup(picture.title)}</title>",
    ]
    if is_standalone:
        parts.append(f"<style>{graph_style()}</style>")
        parts.append('<rect class="ground" width="100%" height="100%"/>')
        parts.append(f'<text class="title" x="{MARGIN}" y="22">{markup(picture.title)}</text>')
    parts.append(f'<g transform="translate({MARGIN},{top})">')
    parts += [_arrow(a, route, has) for a, route, has in zip(shown, places.routes, labelled, strict=True)]
    parts += [_box(box, sizes[i][0], places, i) for i, box in enumerate(boxes)]
    parts.append("</g></svg>")
    return "\n".join(parts)


def graph_style() -> str:
    """The style of the drawing's classes, shared with the page."""
    return files("graphmem.report").joinpath("page").joinpath("graph.css").read_text(encoding="utf-8")


def _stubbed(picture: Picture) -> tuple[list[Box | None], list[tuple[int, int]], list[Arrow]]:
    """Boxes with a stub (None) for every arrow that comes from or goes elsewhere; the arrows' ends among them."""
    boxes: list[Box | None] = list(picture.boxes)
    ends = []
    stubs: dict[int, int] = {}
    for arrow in picture.arrows:
        source, target = arrow.source, arrow.target
        if source == ELSEWHERE:
            if arrow.row not in stubs:
                stubs[arrow.row] = len(boxes)
                boxes.append(None)
            source = stubs[arrow.row]
        if target == ELSEWHERE:
            target = len(boxes)
            boxes.append(None)
        ends.append((source, target))
    return boxes, ends, list(picture.arrows)


def _labelled(arrows: list[Arrow]) -> list[bool]:
    """One label per buffer: on its first arrow."""
    seen: set[int] = set()
    return [not (arrow.row in seen or seen.add(arrow.row)) for arrow in arrows]  # type: ignore[func-returns-value]


def _box(box: Box | None, width: float, places: Layout, position: int) -> str:
    x, y = places.centres[position]
    if box is None:
        return f'<text class="stub" x="{x:.1f}" y="{y + 3:.1f}">…</text>'
    fill, ink = heat(box.share)
    ring = " ring" if box.is_peak else ""
    lines = "".join(
        f'<text x="{x:.1f}" y="{y - 3 + 14 * i:.1f}" style="fill:{ink}">{markup(line)}</text>'
        for i, line in enumerate(box.label)
    )
    return (
        f'<g class="node{ring}" data-step="{box.step}"><rect x="{x - width / 2:.1f}" y="{y - BOX_HEIGHT / 2:.1f}" '
        f'width="{width:.1f}" height="{BOX_HEIGHT}" rx="9" fill="{fill}"/>{lines}</g>'
    )


def _arrow(arrow: Arrow, route: tuple[tuple[float, float], ...], has_label: bool) -> str:
    (x, y), *rest = route
    last = len(rest) - 1
    path = f"M{x:.1f} {y:.1f}"
    for i, (to_x, to_y) in enumerate(rest):
        end = to_x - (7 if i == last else 0)
        middle = (x + end) / 2
        path += f"C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {end:.1f} {to_y:.1f}"
        x, y = to_x, to_y
    head = f'<path class="head" d="M{x:.1f} {y:.1f}l-8 -4v8z"/>'
    label = _label(arrow, route) if has_label else ""
    kind = "edge hot" if arrow.at_peak else "edge"
    wide = 1 + 4 * min(arrow.share, 1.0)
    line = f'<path class="line" d="{path}" stroke-width="{wide:.1f}"/>'
    return f'<g class="{kind}" data-row="{arrow.row}">{line}{head}{label}</g>'


def _label(arrow: Arrow, route: tuple[tuple[float, float], ...]) -> str:
    """The label at the arrow's tail: above it, or below where the arrow rises."""
    (x1, y1), (_, y2) = route[:2]
    x = x1 + max(len(line) for line in arrow.label) * LETTER / 2 + 8
    top = y1 + 13 if y2 < y1 - 3 else y1 - 6 - 12 * (len(arrow.label) - 1)
    return "".join(
        f'<text x="{x:.1f}" y="{top + 12 * i:.1f}">{markup(line)}</text>' for i, line in enumerate(arrow.label)
    )
