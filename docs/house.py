"""graphmem/ -> docs/pictures/house.svg: floors and rooms, and who imports whom, as the code stands.

`python docs/house.py` draws rooms of a floor side by side, as wide as their lines of code, and a line from a room to
each room that it imports from, as thick as the number of such imports.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "graphmem"
sys.path.insert(0, str(ROOT))

from tests.test_architecture import FLOORS

WIDTH, MARGIN, GAP, HEIGHT, RISE = 1120, 24, 14, 58, 112  # px
INKS = ("#4c6fae", "#2f8f83", "#8a6bb0", "#b0793b", "#a8505f", "#5c6b73")  # by floor


def room_of(path: Path) -> str:
    """The room that a file stands in."""
    return path.relative_to(PACKAGE).parts[0]


def imports() -> Counter[tuple[str, str]]:
    """(room, room that it imports from) -> how many import statements say so."""
    found: Counter[tuple[str, str]] = Counter()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            parts = (node.module or "").split(".") if isinstance(node, ast.ImportFrom) else []
            if len(parts) > 1 and parts[0] == "graphmem" and parts[1] in FLOORS and room_of(path) in FLOORS:
                found[room_of(path), parts[1]] += parts[1] != room_of(path)
    return +found


def boxes(lines: Counter[str]) -> dict[str, tuple[float, float, float]]:
    """Room -> left, top and width: wider where there is more code, but wide enough for its name."""
    placed = {}
    top_floor = max(FLOORS.values())
    for floor in range(1, top_floor + 1):
        rooms = [room for room in FLOORS if FLOORS[room] == floor]
        free = WIDTH - 2 * MARGIN - GAP * (len(rooms) - 1)
        least = min(104.0, free / len(rooms))
        total = sum(lines[room] for room in rooms)
        left, spare = float(MARGIN), free - least * len(rooms)
        for room in rooms:
            width = least + spare * lines[room] / total
            placed[room] = (left, MARGIN + 20 + RISE * (top_floor - floor), width)
            left += width + GAP
    return placed


def picture() -> str:
    """The house as SVG."""
    files = Counter(room_of(path) for path in PACKAGE.rglob("*.py"))
    lines: Counter[str] = Counter()
    for path in PACKAGE.rglob("*.py"):
        lines[room_of(path)] += len(path.read_text().splitlines())
    placed = boxes(lines)
    height = MARGIN * 2 + 20 + RISE * (max(FLOORS.values()) - 1) + HEIGHT
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fbfaf7"/>',
    ]
    for (above, below), count in sorted(imports().items()):
        (x1, y1, w1), (x2, y2, w2) = placed[above], placed[below]
        a, b, start, stop = x1 + w1 / 2, x2 + w2 / 2, y1 + HEIGHT, y2
        middle = (start + stop) / 2
        out.append(
            f'<path d="M{a:.0f} {start:.0f}C{a:.0f} {middle:.0f} {b:.0f} {middle:.0f} {b:.0f} {stop:.0f}" fill="none" '
            f'stroke="{INKS[FLOORS[above] - 1]}" stroke-opacity="0.45" stroke-width="{0.6 + count**0.5 / 2:.1f}"/>'
        )
    for room, (left, top, width) in placed.items():
        middle, size = left + width / 2, f"{files[room]} files · {lines[room]:,} lines"
        ink = f'stroke="{INKS[FLOORS[room] - 1]}" stroke-width="2"'
        out += [
            f'<rect x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" height="{HEIGHT}" rx="6" fill="#fff" {ink}/>',
            f'<text x="{middle:.0f}" y="{top + 25:.0f}" text-anchor="middle" font-size="16">{escape(room)}/</text>',
            f'<text x="{middle:.0f}" y="{top + 44:.0f}" text-anchor="middle" font-size="11" fill="#555">{size}</text>',
        ]
    for floor in sorted(set(FLOORS.values())):
        y = MARGIN + 14 + RISE * (max(FLOORS.values()) - floor)
        out.append(f'<text x="{MARGIN}" y="{y}" font-size="12" fill="#888">floor {floor}</text>')
    return "\n".join([*out, "</svg>", ""])


if __name__ == "__main__":
    (ROOT / "docs" / "pictures" / "house.svg").write_text(picture(), encoding="utf-8")
