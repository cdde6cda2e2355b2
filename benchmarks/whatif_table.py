"""What-ifs of a training step, predicted and measured: `python benchmarks/whatif_table.py [-o docs/what-ifs-table.md]`.

Needs torch. Every network of whatif_networks.py is exported once; each what-if is a real step of torch on the CPU and a
call of `graphmem.train` on that one file. A change is held against the step in fp32 with SGD and without accumulation.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / "tests" / "oracle"), str(Path(__file__).parent)]

import torch
import training_oracle as oracle
from whatif_networks import NETWORKS

import graphmem

OPTIMIZERS = (
    "momentum", "nesterov", "adam", "adamw", "amsgrad", "nadam", "radam", "rmsprop", "adagrad", "adafactor",
)  # fmt: skip
WHATIFS: dict[str, dict[str, Any]] = {
    **{p: {"precision": p} for p in ("bf16", "fp16", "bf16-amp", "fp16-amp")},
    **{f"{n} passes": {"accumulate": n} for n in (2, 4)},
    "bf16-amp, 4 passes, adamw": {"precision": "bf16-amp", "accumulate": 4, "optimizer": "adamw"},
    **{name: {"optimizer": name} for name in OPTIMIZERS},
}


def main() -> None:
    """Prints progress, then the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    rows = [row for name in given.names or NETWORKS for row in _rows(name)]
    text = _document(rows)
    print(text)
    if given.output:
        given.output.write_text(text + "\n")


def _rows(name: str) -> list[tuple[str, str, int, int, int, int] | tuple[str, str, str]]:
    """(network, what-if, predicted and measured change, predicted and measured peak), or why torch has none."""
    rows: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        torch.manual_seed(0)
        oracle.exported(NETWORKS[name](), "train_raw", path)
        predicted, measured = _pair(name, path, {})
        rows.append((name, "fp32, sgd", 0, 0, predicted, measured))
        for what, options in WHATIFS.items():
            try:
                ours, theirs = _pair(name, path, options)
            except RuntimeError as error:
                rows.append((name, what, str(error).split(".")[0]))
                continue
            rows.append((name, what, ours - predicted, theirs - measured, ours, theirs))
            print(*rows[-1], file=sys.stderr)
    return rows


def _pair(name: str, path: Path, options: dict[str, Any]) -> tuple[int, int]:
    case = NETWORKS[name]()
    measured = oracle.measured(case, **{"optimizer": "sgd", **options}).peak
    return graphmem.train(path, loss=case[3], **options).peak, measured


def _document(rows: list[Any]) -> str:
    compared = [row for row in rows if len(row) == 6]
    changes = [row for row in compared if row[1] != "fp32, sgd"]
    signs = sum(_sign(row[2]) == _sign(row[3]) for row in changes)
    close = sum(abs(row[4] - row[5]) <= 0.02 * row[5] for row in changes)
    exact = sum(row[4] == row[5] for row in changes)
    today = datetime.datetime.now(datetime.timezone.utc).date()
    lines = [
        f"Made by benchmarks/whatif_table.py on {today}, torch {torch.__version__}, graphmem {graphmem.__version__}.",
        "",
        f"{len(changes)} what-ifs: sign right on {signs}, within 2 % of the peak on {close}, to the byte on {exact}.",
        "",
        "| network | what if | predicted change | measured change | predicted peak | measured peak | off |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        if len(row) == 3:
            lines.append(f"| {row[0]} | {row[1]} | | | | torch refuses: {row[2]} | |")
            continue
        name, what, ours, theirs, predicted, measured = row
        off = f"{100 * (predicted - measured) / measured:+.2f} %" if predicted != measured else "0"
        lines.append(f"| {name} | {what} | {ours:+,} | {theirs:+,} | {predicted:,} | {measured:,} | {off} |")
    return "\n".join(lines)


def _sign(change: int) -> int:
    return (change > 0) - (change < 0)


if __name__ == "__main__":
    main()
