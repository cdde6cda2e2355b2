"""Prints what `graphmem.train` predicts against measured steps: `python benchmarks/training_table.py DATA [FLAVOUR]`.

DATA holds truth.json and NAME_FLAVOUR.onnx files, as in the training data that graphmem is held to; FLAVOUR is
train_dynraw (default), eval_dyn, train_ts or eval_ts. --assume-bn and --dropout P are passed on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import graphmem


def main() -> None:
    """One line per network and optimizer, then the counts that matter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("flavour", nargs="?", default="train_dynraw")
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--optimizer", default=None)
    parser.add_argument("--assume-bn", action="store_true")
    parser.add_argument("--dropout", type=float, default=None)
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
            f"worst {100 * max(s for _, s in errors):.3f} %"
        )


def _row(given: argparse.Namespace, name: str, optimizer: str, measured: dict) -> tuple[str, int, float] | None:  # type: ignore[type-arg]
    path = given.data / f"{name}_{given.flavour}.onnx"
    if not path.exists():
        return None
    start = time.perf_counter()
    try:
        found = graphmem.train(path, optimizer=optimizer, assume_bn=given.assume_bn, dropout=given.dropout)
    except Exception as error:
        print(f"{name:<16}{optimizer:<7} failed: {type(error).__name__}: {error}")
        if given.only:
            raise
        return optimizer, sys.maxsize, 99.0
    truth = measured["tensor_peak"]
    difference = found.peak - truth
    phases = zip(found.phase_peaks.values(), (measured["phase_peak"][p] for p in ("fwd", "bwd", "opt")), strict=True)
    off = " ".join(f"{100 * (a - b) / b:+.2f}" for a, b in phases)
    print(
        f"{name:<16}{optimizer:<7}{found.peak:>12,}{truth:>13,}{difference:>+11,} {100 * difference / truth:>+8.3f} % "
        f" phases {off} %  {found.peak_phase} {found.peak_operator} {time.perf_counter() - start:.2f} s"
    )
    return optimizer, abs(difference), abs(difference) / truth


if __name__ == "__main__":
    main()
