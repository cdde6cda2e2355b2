"""Prints where a predicted step parts from the measured one: `python benchmarks/training_parts.py DATA NAME [FORM]`.

DATA holds truth.json, NAME_FORM.onnx and every tensor-level allocation of the measured step: traces/NAME.json, or
traces.json for all. Shown are the stretches that differ, the first of them with its module and source line, and what is
alive at only one of the two peaks. --told gives the flags of truth.json, --all prints every allocation.
"""

from __future__ import annotations

import argparse
import difflib
import json
from collections import Counter
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

import graphmem

Row: TypeAlias = tuple[str, int, str]  # phase, bytes, what made it
MEASURED, PREDICTED = "-", "+"


def main() -> None:
    """The stretches of both that differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("name")
    parser.add_argument("form", nargs="?", default="train_dynraw")
    parser.add_argument("--optimizer", default="sgd")
    parser.add_argument("--told", action="store_true")
    parser.add_argument("--all", action="store_true")
    given = parser.parse_args()
    net = json.loads((given.data / "truth.json").read_text())["nets"][given.name]
    truth = net[given.optimizer]["tensor_peak"]
    batch = net.get("exports", {}).get(given.form, {}).get("batch")
    found = graphmem.train(
        given.data / f"{given.name}_{given.form}.onnx", batch=batch, optimizer=given.optimizer,
        loss=net.get("loss", "cross_entropy"), **(_options(net.get("flags", [])) if given.told else {}),
    )  # fmt: skip
    print(f"predicted {found.peak:,}, measured {truth:,}, difference {found.peak - truth:+,}")
    print(f"baseline {found.baseline:,}, measured {net[given.optimizer]['baseline']:,}")
    print(f"by phase {found.phase_peaks}, measured {net[given.optimizer]['phase_peak']}")
    compare(_trace(given.data, given.name, given.optimizer), found, given.all)


def _options(flags: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"freeze": []}
    words = iter(flags)
    for word in words:
        if word == "--freeze":
            found["freeze"].append(next(words))
        elif word == "--assume-bn":
            found["assume_bn"] = True
        else:
            found[word[2:].replace("-", "_")] = float(next(words))
    return found


def _trace(data: Path, name: str, optimizer: str) -> Mapping[str, Any]:
    if (data / "traces.json").exists():
        return json.loads((data / "traces.json").read_text())[f"{name} {optimizer}"]
    return json.loads((data / "traces" / f"{name}.json").read_text())[optimizer]


def compare(trace: Mapping[str, Any], found: graphmem.Training, is_full: bool = False) -> None:
    """Tensor-level allocations of both where they differ: in order, but by size within an operator."""
    rows = [(phase, nbytes, f"{node} {operator}") for phase, node, operator, nbytes in trace["made"]]
    steps, buffers, origins = found.schedule.steps, found.schedule.buffers, found.details.origins
    made = [
        (s.phase[:3], buffers[b].nbytes, f"{s.operator} {o.scope} {o.source} {s.name} {buffers[b].name}")
        for s, o in zip(steps, origins, strict=True)
        for b in s.writes
    ]
    runs = [f"{s.name if s.phase == 'backward' else s.phase} {s.operator}" for s in steps for _ in s.writes]
    real, ours = _by_operator(rows), _by_operator(made, runs)
    matcher = difflib.SequenceMatcher(None, [r[:2] for r in real], [o[:2] for o in ours], autojunk=False)
    parted = False
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal" and not is_full:
            print(f"    {b - a} equal, the last {real[b - 1][2]}  {ours[d - 1][2][:100]}")
            continue
        if kind != "equal" and not parted:
            parted = True
            print(f"  they part at allocation {a}, after: {ours[c - 1][2] if c else 'the start'}")
        _print(MEASURED if kind != "equal" else " ", real[a:b])
        _print(PREDICTED, ours[c:d] if kind != "equal" else [])
    _print_alive(trace, found)


def _print(sign: str, rows: list[Row]) -> None:
    for phase, nbytes, label in rows:
        print(f"  {sign} {phase} {nbytes:>12,} {label[:150]}")


def _print_alive(trace: Mapping[str, Any], found: graphmem.Training) -> None:
    buffers, peak, entering = found.schedule.buffers, found.timeline.peak_step, set(found.schedule.entering)
    begin, end = found.lifetimes.start, found.lifetimes.stop
    alive = [b for b in range(len(buffers)) if begin[b] <= peak < end[b] and b not in entering]
    measured = Counter(nbytes for *_, nbytes in trace["live"])
    predicted = Counter(buffers[b].nbytes for b in alive)
    for nbytes, count in (measured - predicted).items():
        labels = [f"{node} {operator}" for _, node, operator, n in trace["live"] if n == nbytes]
        print(f"  alive at the measured peak only: {count} of {nbytes:,} among {labels[:8]}")
    for nbytes, count in (predicted - measured).items():
        labels = [buffers[b].name for b in alive if buffers[b].nbytes == nbytes]
        print(f"  alive at the predicted peak only: {count} of {nbytes:,} among {labels[:8]}")


def _by_operator(rows: list[Row], runs: list[str] | None = None) -> list[Row]:
    keys = runs or [row[2] for row in rows]
    pairs = groupby(zip(keys, rows, strict=True), key=lambda pair: pair[0])
    return [row for _, group in pairs for row in sorted((row for _, row in group), key=lambda row: row[1])]


if __name__ == "__main__":
    main()
