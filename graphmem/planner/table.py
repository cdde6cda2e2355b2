"""Text of `id,lower,upper,size[,alignment][,offset]` rows <-> lifetimes and plans: the form of the public benchmarks.

The header names the columns, in any order; `buffer`, `buffer_id`, `begin`, `start`, `end` and `stop` are taken as well.
Intervals are half-open, sizes and offsets in bytes. MiniMalloc (github.com/google/minimalloc) defined the form.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field

from graphmem.ir.errors import InputError
from graphmem.ir.memory import Lifetime, Lifetimes, Plan
from graphmem.ir.quoting import csv_name, csv_names
from graphmem.planner.plan import MAX_ALIGNMENT

SYNONYMS = {
    "buffer": "id",
    "buffer_id": "id",
    "begin": "lower",
    "start": "lower",
    "end": "upper",
    "stop": "upper",
}
REQUIRED, OPTIONAL = ("id", "lower", "upper", "size"), ("alignment", "offset")


@dataclass(frozen=True, slots=True)
class Table:
    """Lifetimes with the alignments and the fixed offsets that the rows state, by name."""

    lifetimes: Lifetimes
    alignments: dict[str, int] = field(default_factory=dict)
    fixed: dict[str, int] = field(default_factory=dict)


def table_of(text: str) -> Table:
    """Reads the text; an empty cell of an optional column states nothing. Raises InputError naming the line."""
    reader = csv.reader(io.StringIO(text))
    header = [SYNONYMS.get(cell.strip().lower(), cell.strip().lower()) for cell in next(reader, [])]
    for name in REQUIRED:
        if name not in header:
            raise InputError(f"the lifetimes have no column {name!r}; their first line must name id,lower,upper,size")
    lives, alignments, fixed = [], {}, {}
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        name = csv_name(row["id"]) if row.get("id") else f"line {reader.line_num}"
        lower, upper, size = (_integer(row, column, reader.line_num) for column in REQUIRED[1:])
        lives.append(Lifetime(name, size, lower, upper))
        if row.get("alignment"):
            alignments[name] = _integer(row, "alignment", reader.line_num)
            if not 1 <= alignments[name] <= MAX_ALIGNMENT:
                raise InputError(f"line {reader.line_num} of the lifetimes: alignment is not in 1..{MAX_ALIGNMENT}")
        if row.get("offset"):
            fixed[name] = _integer(row, "offset", reader.line_num)
    return Table(Lifetimes.of(lives), {k: v for k, v in alignments.items() if v > 1}, fixed)


def table_text(plan: Plan) -> str:
    """The plan's lifetimes with their offsets, as rows that `table_of` and MiniMalloc read."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*REQUIRED, "offset"))
    names = csv_names(p.lifetime.buffer for p in plan.placements)
    for name, p in zip(names, plan.placements, strict=True):
        writer.writerow((name, p.lifetime.start, p.lifetime.stop, p.lifetime.nbytes, p.offset))
    return out.getvalue()


def _integer(row: dict[str, str], column: str, line: int) -> int:
    text = row.get(column, "")
    try:
        value = int(text)
    except ValueError:
        raise InputError(f"line {line} of the lifetimes: {column} {text!r} is not an integer") from None
    if abs(value) >> 60:
        raise InputError(f"line {line} of the lifetimes: {column} {text!r} is beyond 1 EiB")
    return value
