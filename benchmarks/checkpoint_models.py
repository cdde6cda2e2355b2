"""Frontiers of five networks of models/ beside what is done without a plan: `python benchmarks/checkpoint_models.py`.

Per network: the keep-all peak, and at the peak of every block, every 2nd block and sqrt(n) (checkpoint_sequential) the
recomputation of the best plan of each grain; the least peaks; and what is alive there. Markdown on stdout; `--write`
puts it into docs/checkpointing.md, between the marks.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import graphmem
from graphmem.ir.recompute import Habit, ModelFrontier
from graphmem.report.units import size

CASES = {
    "resnet50": (32, {}, "cross_entropy"),
    "unet": (4, {}, "cross_entropy"),
    "gpt2": (8, {"sequence": 512}, "cross_entropy"),
    "bert": (16, {"sequence": 256}, "mean"),
    "vit": (32, {}, "cross_entropy"),
}
HABITS = ("every block", "every 2 blocks", "sqrt(n)")
MARKS = ("<!-- models -->", "<!-- /models -->")


def main() -> None:
    """One row for each network and habit, then one for each network's floor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    rows = ["| network, step | without a plan | its peak | its cost | operations | selective | modules |"]
    rows += ["|---|---|---:|---:|---:|---:|---:|"]
    floors = ["| network | keeps all | least, operations | least, modules | alive there | seconds |"]
    floors += ["|---|---:|---:|---:|---|---:|"]
    for name, (batch, dims, loss) in CASES.items():
        path = ROOT / "models" / f"{name}.onnx"
        started = perf_counter()
        found = graphmem.checkpoint_frontier(path, dims, batch=batch, loss=loss)
        spent = perf_counter() - started
        step = f"{name}, batch {batch}" + "".join(f", {k} {v}" for k, v in dims.items())
        for habit in found.practice:
            if habit.title in HABITS:
                rows.append(row(found, step, habit))
                print(rows[-1], file=sys.stderr)
        floors.append(floor(found, name, spent))
    text = "\n".join([*rows, "", *floors])
    print(text)
    if given.write:
        page = ROOT / "docs" / "checkpointing.md"
        before, _, rest = page.read_text().partition(MARKS[0])
        page.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}")


def row(found: ModelFrontier, step: str, habit: Habit) -> str:
    """The least recomputation of each grain within the peak of the habit."""
    peak, cost = habit.plan.peak, habit.plan.again
    base, total = found.operations.baseline.peak, found.operations.question.total_cost
    best = {
        "operation": [p.judged.cost - total for p in found.operations.points if p.judged.peak <= peak],
        "selective": [w.again for w in found.wraps if w.peak <= peak],
        "module": [w.again for w in found.wraps if w.peak <= peak and w.grain == "module"],
    }
    cells = [f"{min(costs) / total:.2%}" if costs else "–" for costs in best.values()]
    return f"| {step} | {habit.title} | {peak / base:.1%} | {cost / total:.2%} | {' | '.join(cells)} |"


def floor(found: ModelFrontier, name: str, spent: float) -> str:
    """What is reached, and what is alive there."""
    base = found.operations.baseline.peak
    least = min(p.judged.peak for p in found.operations.points)
    wraps = min(w.peak for w in found.wraps)
    held = ", ".join(f"{o.what} {size(o.nbytes)}" for o in found.obstacles[:4])
    return f"| {name} | {size(base)} | {least / base:.1%} | {wraps / base:.1%} | {held} | {spent:.0f} |"


if __name__ == "__main__":
    main()
