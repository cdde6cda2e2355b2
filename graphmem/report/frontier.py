"""Point or Frontier -> text (table and plot of overhead against peak) or JSON (schema graphmem.checkpoint/1)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from graphmem.ir.recompute import Frontier, Judged, Point, Recompute
from graphmem.report.units import size

HEIGHT = 12
LISTED = 8  # values to recompute, in a table


def checkpoint_json(found: Frontier, all_names: bool) -> str:
    """The frontier, or the one point asked for; names of what to keep and recompute with `all_names`."""
    question = found.question
    document = {
        "schema": "graphmem.checkpoint/1",
        "problem": {"name": question.name, "operations": len(question), "keep_order": question.keep_order},
        "baseline_peak_bytes": found.baseline.peak,
        "step_flops": question.total_cost,
        "floor_bytes": found.floor,
        "floor_operation": question.operations[found.floor_operation].name,
        "notes": list(found.notes),
        "points": [_point(question, point, all_names) for point in found.points],
    }
    return json.dumps(document, indent=1, ensure_ascii=False)


def _point(question: Recompute, point: Point, all_names: bool) -> dict[str, Any]:
    total, judged = question.total_cost, point.judged
    document: dict[str, Any] = {
        "budget_bytes": point.budget,
        "peak_bytes": judged.peak,
        "recompute_flops": judged.cost - total,
        "overhead": (judged.cost - total) / total if total else 0.0,
        "overhead_bound": (point.bound - total) / total if total else 0.0,
        "optimal": point.is_optimal,
        "strategy": judged.strategy,
    }
    if all_names:
        again = recomputed(judged)
        names = [operation.name for operation in question.operations]
        document["keep"] = [names[v] for v in range(question.first_backward) if v not in again and question.readers[v]]
        document["recompute"] = [names[v] for v in sorted(again)]
        document["wrap"] = []
        document["order"] = list(judged.course.order)
    return document


def recomputed(judged: Judged) -> set[int]:
    """What a course computes more than once."""
    return {v for v, times in Counter(judged.course.order).items() if times > 1}


def checkpoint_text(found: Frontier, width: int = 80) -> str:
    """A table of the points, and for more than one the plot."""
    question, base = found.question, max(1, found.baseline.peak)
    lines = [
        f"{question.name or 'question'}: {len(question)} operations, order {'kept' if question.keep_order else 'free'}",
        f"keep-all peak {size(found.baseline.peak)} ({found.baseline.peak:,} bytes)",
        f"no course needs less than {size(found.floor)}, for {question.operations[found.floor_operation].name}",
        "",
        f"{'peak':>12} {'of keep-all':>11} {'overhead':>10} {'at least':>10}  strategy",
    ]
    lines += [_row(question, point, base) for point in found.points]
    if len(found.points) == 1:
        lines += ["", *_what(question, found.points[0].judged)]
    else:
        lines += ["", *plot(question, found.points, base, width)]
    return "\n".join([*lines, *(f"note: {text}" for text in found.notes)])


def _row(question: Recompute, point: Point, base: int) -> str:
    total, judged = max(1, question.total_cost), point.judged
    over, least = ((cost - question.total_cost) / total for cost in (judged.cost, point.bound))
    proof = " (optimal)" if point.is_optimal else ""
    return f"{size(judged.peak):>12} {judged.peak / base:>10.1%}  {over:>9.3%} {least:>10.3%}  {judged.strategy}{proof}"


def _what(question: Recompute, judged: Judged) -> list[str]:
    again = sorted(recomputed(judged), key=lambda v: (-question.operations[v].nbytes, v))
    if not again:
        return ["nothing needs to be computed twice"]
    shown = ", ".join(question.operations[v].name for v in again[:LISTED])
    more = f" and {len(again) - LISTED} more (--format json lists all)" if len(again) > LISTED else ""
    return [f"computed again, greatest first: {shown}{more}"]


def plot(question: Recompute, points: Sequence[Point], base: int, width: int) -> list[str]:
    """Overhead (up) against peak (across): `*` a point, `.` its proved bound, `#` both."""
    columns, total = max(20, width - 12), max(1, question.total_cost)
    over = [(p.judged.cost - question.total_cost) / total for p in points]
    least = [(p.bound - question.total_cost) / total for p in points]
    top = max(over) or 1.0
    low = min(p.judged.peak for p in points) / base
    grid = [[" "] * columns for _ in range(HEIGHT)]
    for point, high, bound in zip(points, over, least, strict=True):
        share = (point.judged.peak / base - low) / max(1e-9, 1 - low)
        column = round(min(1.0, share) * (columns - 1))
        for value, mark in ((bound, "."), (high, "*")):
            row = HEIGHT - 1 - round(value / top * (HEIGHT - 1))
            grid[row][column] = "#" if mark == "*" and grid[row][column] == "." else mark
    labels = [f"{top * (HEIGHT - 1 - row) / (HEIGHT - 1):>8.1%} |" for row in range(HEIGHT)]
    axis = " " * 9 + "+" + "-" * columns
    ends = f"{' ' * 10}{low:<.0%}{'100% of the keep-all peak':>{columns - 3}}"
    return [
        "overhead: * found, . proved bound, # both",
        *(label + "".join(row).rstrip() for label, row in zip(labels, grid, strict=True)),
        axis,
        ends,
    ]
