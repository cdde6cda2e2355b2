"""Predicted beside measured for many networks: `python benchmarks/ort_networks.py FILE.onnx...` (dims become 2, 64).

The last lines count what matches to the byte, and how often the saving that the advice predicts for `enable_mem_reuse`
off is the one measured.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import onnx

from graphmem.ir.errors import GraphmemError
from graphmem.ort.verify import verify


def dims_of(path: Path) -> dict[str, int]:
    proto = onnx.load(path, load_external_data=False)
    found = {}
    for info in proto.graph.input:
        for axis, dim in enumerate(info.type.tensor_type.shape.dim):
            if dim.dim_param:
                found[dim.dim_param] = 2 if axis == 0 else 64
    return found


def main() -> None:
    counts: Counter[str] = Counter()
    for name in sys.argv[1:]:
        path = Path(name)
        try:
            found = verify(path, dims_of(path))
        except GraphmemError as error:
            print(f"{path.stem:40} {error}"[:160])
            counts["not run"] += 1
            continue
        figures = {trial.label: trial for trial in found.trials}
        on, off = figures["first run"], figures["first run, reuse off"]
        ours, real = on.predicted - off.predicted, on.measured - off.measured
        counts["networks"] += 1
        counts["saving within 1 %"] += abs(ours - real) <= 0.01 * abs(real)
        counts["saving's sign right"] += (ours > 0) == (real > 0) and (ours < 0) == (real < 0)
        for trial in found.trials:
            counts[f"exact: {trial.label}"] += trial.predicted == trial.measured
        wrong = [f"{t.label} {t.predicted:,} / {t.measured:,}" for t in found.trials if t.predicted != t.measured]
        print(f"{path.stem:40} {'exact' if not wrong else '; '.join(wrong)}", flush=True)
    for label, count in counts.items():
        print(f"{count:5} {label}")


if __name__ == "__main__":
    main()
