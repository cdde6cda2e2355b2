"""Checkpoint placement on the public instances: overhead against the best known, the proved bound, and seconds."""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

from graphmem.checkpoint.problem_file import parsed
from graphmem.checkpoint.solve import budget_of, frontier, solve
from graphmem.ir.recompute import Point

DATA = Path(__file__).parents[1].parent / "shared" / "data" / "checkpoint"
# (instance, order kept, ratio of the keep-all peak -> best known overhead in percent)
TARGETS: list[tuple[str, bool, dict[float, float]]] = [
    ("fcn8", True, {0.9: 0.03, 0.8: 0.137, 0.7: 0.893}),
    ("rn50", True, {0.9: 0.109, 0.8: 0.28, 0.7: 0.57, 0.5: 1.51, 0.35: 2.96}),
    ("rl100", True, {0.9: 0.79, 0.8: 2.30, 0.7: 6.6}),
    ("rl500", True, {0.9: 0.78, 0.8: 3.32, 0.7: 12.7}),
    ("gpt36", True, {0.75: 1.15, 0.5: 4.70, 0.35: 13.9, 0.25: 19.9}),
    ("resnet152", True, {0.75: 2.08, 0.5: 5.77, 0.35: 9.9, 0.25: 13.3}),
    ("rl100", False, {0.9: 0.0, 0.8: 0.0, 0.7: 2.15}),
    ("rl500", False, {0.9: 0.0, 0.8: 1.1, 0.7: 6.0}),
]


def main() -> None:
    wanted = sys.argv[1:]
    print(f"{'instance':10} {'order':6} {'ratio':>5} {'best known':>10} {'ours':>9} {'bound':>9} {'seconds':>8}")
    for name, keep_order, targets in TARGETS:
        if wanted and name not in wanted:
            continue
        question = parsed((DATA / f"{name}.json").read_text(), name, keep_order)
        total = question.total_cost
        for ratio, target in targets.items():
            started = perf_counter()
            found = solve(question, budget_of(question, ratio))
            seconds = perf_counter() - started
            order = "kept" if keep_order else "free"
            if not isinstance(found, Point):
                print(f"{name:10} {order:6} {ratio:5.2f} {target:10.3f} {'none':>9} {'':9} {seconds:8.1f}")
                continue
            ours, bound = (100 * (cost / total - 1) for cost in (found.judged.cost, found.bound))
            proof = " optimal" if found.is_optimal else ""
            print(f"{name:10} {order:6} {ratio:5.2f} {target:10.3f} {ours:9.4f} {bound:9.4f} {seconds:8.1f}{proof}")
        if keep_order:
            started = perf_counter()
            points = frontier(question).points
            print(f"{name:10} frontier of {len(points)} points in {perf_counter() - started:.1f} s")


main()
