"""Prints what `graphmem.train` predicts against measured steps: `python benchmarks/training_table.py DATA [FORM]`.

DATA holds truth.json and NAME_FORM.onnx files, as in the training data that graphmem is held to, or as
`training_oracle.py` writes them; FORM is train_dynraw (default), train_dyn, eval_dyn, eval_dynraw, train_ts or eval_ts.
training_parts.py shows where the allocations of one of them differ.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
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
    return optimizer, abs(difference), abs(difference) / truth


if __name__ == "__main__":
    main()
