"""Prints what `graphmem.train` predicts against measured steps: `python benchmarks/training_table.py DATA [FORM]`.

DATA holds truth.json and NAME_FORM.onnx files, as in the training data that graphmem is held to, or as
`training_oracle.py` writes them; FORM is train_dynraw (default), train_dyn, eval_dyn, eval_dynraw, train_ts or eval_ts.
--trace NAME shows where allocations differ.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import graphmem


def main() -> None:
    """One line per network and optimizer, then the counts that matter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("form", nargs="?", default="train_dynraw")
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--optimizer", default=None)
    parser.add_argument("--assume-bn", action="store_true")
    parser.add_argument("--dropout", type=float, default=None)
    parser.add_argument("--attention-dropout", type=float, default=None)
    parser.add_argument("--told", action="store_true", help="state the dropout probabilities that truth.json holds")
    parser.add_argument("--off", action="store_true", help="leave out the networks that are byte-exact")
    parser.add_argument("--markdown", action="store_true", help="one Markdown row per network")
    parser.add_argument("--trace", action="store_true", help="measured against predicted allocations")
    given = parser.parse_args()
    truth = json.loads((given.data / "truth.json").read_text())["nets"]
    rows = [
        row
        for name in given.only or truth
        for optimizer, measured in truth[name].items()
        if optimizer == (given.optimizer or optimizer)
        if (row := _row(given, name, optimizer, measured)) is not None
    ]
    for optimizer in dict.fromkeys(row[0] for row in rows):
        errors = [(byte, share) for kind, byte, share in rows if kind == optimizer]
        print(
            f"{optimizer}: {len(errors)} ran, {sum(b <= 256 for b, _ in errors)} byte-exact, "
            f"{sum(s <= 0.001 for _, s in errors)} within 0.1 %, {sum(s <= 0.01 for _, s in errors)} within 1 %, "
            f"{sum(s <= 0.05 for _, s in errors)} within 5 %, worst {100 * max(s for _, s in errors):.3f} %"
        )


def _row(
    given: argparse.Namespace, name: str, optimizer: str, measured: Mapping[str, Any]
) -> tuple[str, int, float] | None:
    path = given.data / f"{name}_{given.form}.onnx"
    if not path.exists():
        return None
    start = time.perf_counter()
    told = measured.get("dropout", (None, None)) if given.told else (given.dropout, given.attention_dropout)
    try:
        found = graphmem.train(
            path, optimizer=optimizer, assume_bn=given.assume_bn, dropout=told[0],
            attention_dropout=told[1], loss=measured.get("loss", "cross_entropy"),
        )  # fmt: skip
    except Exception as error:
        print(f"{name:<16}{optimizer:<7} failed: {type(error).__name__}: {error}")
        if given.only:
            raise
        return optimizer, sys.maxsize, 99.0
    truth = measured["tensor_peak"]
    difference = found.peak - truth
    phases = zip(found.phase_peaks.values(), map(measured["phase_peak"].get, ("fwd", "bwd", "opt")), strict=True)
    off = " ".join(f"{100 * (a - b) / b:+.2f}" if b else "-" for a, b in phases)
    at = f"{found.peak_phase} {found.peak_operator}"
    marks = " ".join(sorted({i.kind for i in found.issues}))
    if given.markdown:
        share = f"{100 * difference / truth:+.3f}"
        print(f"| {name} | {optimizer} | {found.peak:,} | {truth:,} | {difference:+,} | {share} | {at} |")
    elif not given.off or abs(difference) > 256:
        print(
            f"{name:<16}{optimizer:<6}{found.peak:>12,}{truth:>13,}{difference:>+11,} {100 * difference / truth:>+8.3f}"
            f" phases {off}  {at} {marks} {time.perf_counter() - start:.2f} s"
        )
    if given.trace:
        _compare(given.data, f"{name} {optimizer}", found)
    return optimizer, abs(difference), abs(difference) / truth


def _compare(data: Path, key: str, found: graphmem.Training) -> None:
    """Tensor-level allocations of both where they differ: in order, but by size within an operator."""
    traces = json.loads((data / "traces.json").read_text())[key]
    rows = traces["made"]
    real = _by_operator([(phase, nbytes, f"{node} {operator}") for phase, node, operator, nbytes in rows])
    steps, buffers = found.schedule.steps, found.schedule.buffers
    ours = _by_operator(
        [(s.phase[:3], buffers[b].nbytes, f"{s.name} {s.operator} {buffers[b].name}") for s in steps for b in s.writes],
        [f"{s.name if s.phase == 'backward' else s.phase} {s.operator}" for s in steps for _ in s.writes],
    )
    matcher = difflib.SequenceMatcher(None, [r[:2] for r in real], [o[:2] for o in ours], autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            print(f"    {b - a} equal, the last {real[b - 1][2][:100]}")
            continue
        for phase, nbytes, label in real[a:b]:
            print(f"  - {phase} {nbytes:>12,} {label[:100]}")
        for phase, nbytes, label in ours[c:d]:
            print(f"  + {phase} {nbytes:>12,} {label[:120]}")
    peak, entering = found.timeline.peak_step, set(found.schedule.entering)
    begin, end = found.lifetimes.start, found.lifetimes.stop
    alive = [b for b in range(len(buffers)) if begin[b] <= peak < end[b] and b not in entering]
    measured = Counter(nbytes for *_, nbytes in traces["live"])
    predicted = Counter(buffers[b].nbytes for b in alive)
    for nbytes, count in (measured - predicted).items():
        labels = [f"{node} {operator}" for _, node, operator, n in traces["live"] if n == nbytes]
        print(f"  alive at the measured peak only: {count} of {nbytes:,} among {labels[:8]}")
    for nbytes, count in (predicted - measured).items():
        labels = [buffers[b].name for b in alive if buffers[b].nbytes == nbytes]
        print(f"  alive at the predicted peak only: {count} of {nbytes:,} among {labels[:8]}")


def _by_operator(rows: list[tuple[str, int, str]], runs: list[str] | None = None) -> list[tuple[str, int, str]]:
    keys = runs or [row[2] for row in rows]
    pairs = groupby(zip(keys, rows, strict=True), key=lambda pair: pair[0])
    return [row for _, group in pairs for row in sorted((row for _, row in group), key=lambda row: row[1])]


if __name__ == "__main__":
    main()
