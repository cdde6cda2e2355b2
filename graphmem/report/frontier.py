"""Frontier, ModelFrontier -> text (table, plot, what stands in the way, code) and JSON (graphmem.checkpoint/1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import shorten, wrap
from typing import Any

from graphmem.ir.quoting import cut, json_text, lines_text, name_shown
from graphmem.ir.recompute import Frontier, Judged, ModelFrontier, Point, Recompute, WrapPlan
from graphmem.report.checkpoint_code import torch_code, verdict
from graphmem.report.envelope import schema_name
from graphmem.report.units import size

HEIGHT = 12
LISTED = 8  # values to recompute, in a table


def checkpoint_json(found: Frontier, all_names: bool) -> str:
    """The frontier, or the one point asked for; names of what to keep and recompute with `all_names`."""
    points = [_point(found.question, point, all_names) for point in found.points]
    return json_text(_head(found) | {"points": points})


def _head(found: Frontier) -> dict[str, Any]:
    """What both kinds of document begin with."""
    question = found.question
    return {
        "schema": schema_name("checkpoint"),
        "problem": {"name": question.name, "operations": len(question), "keep_order": question.keep_order},
        "baseline_peak_bytes": found.baseline.peak,
        "step_flops": question.total_cost,
        "floor_bytes": found.floor,
        "floor_operation": question.operations[found.floor_operation].name,
        "notes": list(found.notes),
    }


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
    order = "kept" if question.keep_order else "free"
    lines = [
        f"{name_shown(question.name) or 'question'}: {len(question)} operations, order {order}",
        f"keep-all peak {size(found.baseline.peak)} ({found.baseline.peak:,} bytes)",
        f"no course needs less than {size(found.floor)}, for {_name(question, found.floor_operation)}",
        "",
        f"{'peak':>12} {'of keep-all':>11} {'overhead':>10} {'at least':>10}  strategy",
    ]
    lines += [cut(_row(question, point, base), width) for point in found.points]
    if len(found.points) == 1:
        lines += ["", *(line for text in _what(question, found.points[0].judged) for line in wrap(text, width))]
    else:
        lines += ["", *plot(question, found.points, base, width)]
    return lines_text([*lines, *(line for text in found.notes for line in wrap(f"note: {text}", width))])


def _name(question: Recompute, operation: int) -> str:
    return name_shown(question.operations[operation].name)


def _row(question: Recompute, point: Point, base: int) -> str:
    total, judged = max(1, question.total_cost), point.judged
    over, least = ((cost - question.total_cost) / total for cost in (judged.cost, point.bound))
    proof = " (optimal)" if point.is_optimal else ""
    return f"{size(judged.peak):>12} {judged.peak / base:>10.1%}  {over:>9.3%} {least:>10.3%}  {judged.strategy}{proof}"


def _what(question: Recompute, judged: Judged) -> list[str]:
    again = sorted(recomputed(judged), key=lambda v: (-question.operations[v].nbytes, v))
    if not again:
        return ["nothing needs to be computed twice"]
    shown = ", ".join(_name(question, v) for v in again[:LISTED])
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
    return [
        "overhead: * found, . proved bound, # both",
        *_framed(grid, top, f"{low:<.0%}{'100% of the keep-all peak':>{columns - 3}}"),
    ]


def _framed(grid: Sequence[Sequence[str]], top: float, ends: str) -> list[str]:
    """The grid with the overhead at its left, `top` at the top, and the ends of the other axis below."""
    labels = [f"{top * (HEIGHT - 1 - row) / (HEIGHT - 1):>8.1%} |" for row in range(HEIGHT)]
    rows = [label + "".join(row).rstrip() for label, row in zip(labels, grid, strict=True)]
    return [*rows, " " * 9 + "+" + "-" * len(grid[0]), " " * 10 + ends]


JUDGES = {"operation": "question", "selective": "step", "module": "step"}
ROWS = 24  # of a frontier in the table


@dataclass(frozen=True, slots=True)
class Row:
    """A point of any grain; costs are those beyond one step."""

    grain: str
    budget: int
    peak: int
    again: int
    bound: int
    strategy: str
    source: Point | WrapPlan


def rows_of(found: ModelFrontier) -> list[Row]:
    """With a budget the best plan of each grain, wraps first; else all that are not dominated, from keep-all down."""
    total = found.operations.question.total_cost
    points = [
        Row("operation", p.budget, p.judged.peak, p.judged.cost - total, p.bound - total, p.judged.strategy, p)
        for p in found.operations.points
    ]
    # a frame lets go of its tensors a little earlier than a course does, so that no bound of courses holds for it
    wraps = [Row(w.grain, found.budget or w.peak, w.peak, w.again, 0, w.strategy, w) for w in found.wraps]
    if found.budget is not None:
        return [*wraps, *points]
    kept: list[Row] = []
    for row in sorted([*points, *wraps], key=lambda r: (r.again, r.peak, r.grain != "operation")):
        if not kept or row.peak < kept[-1].peak:
            kept.append(row)
    return kept


def model_frontier_json(found: ModelFrontier) -> str:
    """Every point, with the names of what is kept and computed again and the modules to wrap."""
    total = max(1, found.operations.question.total_cost)
    document = _head(found.operations) | {
        "exactness": found.exactness,
        "least_peak_bytes": found.least,
        "obstacles": [{"what": o.what, "bytes": o.nbytes} for o in found.obstacles],
        "advice": found.advice,
        "practice": [
            {
                "strategy": h.title,
                "peak_bytes": h.plan.peak,
                "recompute_flops": h.plan.again,
                "overhead": h.plan.again / total,
                "best_overhead": h.best / total,
            }
            for h in found.practice
        ],
        "points": [_model_point(found, row) for row in rows_of(found)],
    }
    return json_text(document)


def _model_point(found: ModelFrontier, row: Row) -> dict[str, Any]:
    question = found.operations.question
    total = max(1, question.total_cost)
    document: dict[str, Any] = {
        "budget_bytes": row.budget,
        "peak_bytes": row.peak,
        "recompute_flops": row.again,
        "overhead": row.again / total,
        "overhead_bound": row.bound / total,
        "optimal": row.again == row.bound,
        "strategy": row.strategy,
        "grain": row.grain,
        "evaluator": JUDGES[row.grain],
    }
    first = question.first_backward
    if isinstance(row.source, WrapPlan):
        again = dict.fromkeys(row.source.names)
        wraps = [{"scope": w.scope, "class": w.module, "keep": list(w.keep)} for w in row.source.wraps]
    else:
        course = recomputed(row.source.judged)
        again = dict.fromkeys(question.operations[v].name for v in sorted(course))
        wraps = []
    saved = [v for v in range(first) if any(r >= first for r in question.readers[v])]
    names = dict.fromkeys(question.operations[v].name for v in saved)
    return document | {"keep": [n for n in names if n not in again], "recompute": list(again), "wrap": wraps}


def model_frontier_text(found: ModelFrontier, width: int = 80) -> str:
    """For a terminal of that width."""
    base, rows = found.operations.baseline.peak, rows_of(found)
    name, sign = (
        name_shown(found.operations.question.name),
        {"at most": "<= ", "at least": ">= "}.get(found.exactness, ""),
    )
    lines = [
        *wrap(f"{name}: a training step that keeps all needs {sign}{size(base)} ({base:,} bytes)", width),
        f"least peak reached {size(found.least)} ({found.least / base:.1%})",
        "",
        f"{'peak':>11} {'of all':>7} {'overhead':>9} {'at least':>9}  {'grain':<10} strategy",
    ]
    shown = rows if len(rows) <= ROWS else [rows[i * (len(rows) - 1) // (ROWS - 1)] for i in range(ROWS)]
    lines += [cut(_model_row(row, base, max(1, found.operations.question.total_cost)), width) for row in shown]
    if len(shown) < len(rows):
        lines.append(f"{len(rows) - len(shown)} points between these: --format json")
    if found.budget is None:
        lines += ["", *_plot(found, rows, base, width)]
    if found.budget is not None and not found.wraps:
        lines += [f"no plan of modules fits: the least of those needs {size(found.least_wrapped)}"]
    lines += ["", *_what_stands(found, width)]
    if found.practice:
        lines += ["", *(line for text in verdict(found) for line in wrap(text, width, subsequent_indent="  "))]
    plans = [p for p in found.wraps if found.budget is not None]
    if plans:
        lines += ["", *torch_code(found, plans[0]).rstrip().split("\n")]
    judges = "operation: judged by replaying the course; selective, module: by running the step as PyTorch does"
    lines += ["", *wrap(judges, width)]
    return lines_text([*lines, *(line for text in found.operations.notes for line in wrap(f"note: {text}", width))])


def _model_row(row: Row, base: int, total: int) -> str:
    proof = " (optimal)" if row.again == row.bound else ""
    bound = f"{row.bound / total:.3%}" if row.grain == "operation" else "-"
    return (
        f"{size(row.peak):>11} {row.peak / base:>7.1%} {row.again / total:>9.3%} {bound:>9}  "
        f"{row.grain:<10} {row.strategy}{proof}"
    )


def _what_stands(found: ModelFrontier, width: int) -> list[str]:
    large = [o for o in found.obstacles if o.nbytes >= found.least // 100]
    lines = ["alive at the least peak of operations:"] if large else []
    lines += [f"{size(o.nbytes):>11}  {shorten(o.what, max(20, width - 13))}" for o in large]
    return [*lines, *wrap(found.advice, width)]


def _plot(found: ModelFrontier, rows: Sequence[Row], base: int, width: int) -> list[str]:
    """Overhead (up) against peak (across)."""
    total = max(1, found.operations.question.total_cost)
    habits = [(h.plan.peak, h.plan.again) for h in found.practice]
    top = max([r.again / total for r in rows] + [again / total for _, again in habits]) or 1.0
    columns = max(20, width - 12)
    low = found.least / base
    grid = [[" "] * columns for _ in range(HEIGHT)]

    def put(peak: int, value: float, mark: str) -> None:
        share = min(1.0, max(0.0, (peak / base - low) / max(1e-9, 1 - low)))
        grid[HEIGHT - 1 - round(min(1.0, value / top) * (HEIGHT - 1))][round(share * (columns - 1))] = mark

    for row in rows:
        if row.grain == "operation":
            put(row.peak, row.bound / total, ".")
    for row in rows:
        put(row.peak, row.again / total, {"operation": "*", "selective": "s", "module": "m"}[row.grain])
    for peak, again in habits:
        put(peak, again / total, "x")
    return [
        *wrap("overhead: * operations, s selective, m modules, . bound, x every (n-th) block", width),
        *_framed(grid, top, f"{low:<.0%}{'100% of the peak that keeps all':>{columns - 3}}"),
    ]
