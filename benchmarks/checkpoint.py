"""Checkpoint placement on the public instances: overhead against the best known, the proved bound, and seconds.

    python benchmarks/checkpoint.py [--timeout S] [INSTANCE[:free] ...]

Every row is one whole command, `graphmem checkpoint --problem FILE --ratio R --format json`, in a process of its own:
wall seconds from its start to its end, and the processor seconds of all its threads beside them, which do not depend on
what else the machine does.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from time import perf_counter

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
Seconds = tuple[float, float]


def command(arguments: list[str]) -> tuple[dict[str, object] | str, Seconds]:
    """(the JSON printed, or the line of an error; wall and processor seconds)."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    whole = [sys.executable, "-m", "graphmem", "checkpoint", *arguments, "--format", "json"]
    done = subprocess.run(whole, capture_output=True, text=True, check=False)
    wall, after = perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return (json.loads(done.stdout) if done.stdout else done.stderr.strip()), (wall, spent)


def row(name: str, keep_order: bool, ratio: float, target: float, timeout: str) -> str:
    arguments = ["--problem", str(DATA / f"{name}.json"), "--ratio", str(ratio), "--timeout", timeout]
    found, (wall, spent) = command(arguments + ["--keep-order"] * keep_order)
    head = f"{name:10} {'kept' if keep_order else 'free':5} {ratio:5.2f} {target:10.3f}"
    if isinstance(found, str):
        return f"{head} {found}"
    point = found["points"][0]  # type: ignore[index]
    assert point["peak_bytes"] <= point["budget_bytes"]
    ours, bound = 100 * point["overhead"], 100 * point["overhead_bound"]
    marks = " optimal" * point["optimal"] + " MISSED" * (ours > target)
    return f"{head} {ours:8.4f} {bound:8.4f} {wall:6.1f} {spent:6.1f}{marks} {'; '.join(found['notes'])}".rstrip()  # type: ignore[arg-type]


def frontier_row(name: str) -> str:
    found, (wall, spent) = command(["--problem", str(DATA / f"{name}.json"), "--keep-order", "--frontier"])
    if isinstance(found, str):
        return f"{name:10} {found}"
    points = found["points"]
    size = len(points)  # type: ignore[arg-type]
    return f"{name:10} frontier of {size} points {wall:31.1f} {spent:6.1f}"


def main() -> None:
    wanted, timeout = sys.argv[1:], "60"
    if wanted[:1] == ["--timeout"]:
        timeout, wanted = wanted[1], wanted[2:]
    print(f"{'instance':10} order ratio best known     ours    bound   wall    cpu")
    for name, keep_order, targets in TARGETS:
        if wanted and (name if keep_order else f"{name}:free") not in wanted:
            continue
        for ratio, target in targets.items():
            print(row(name, keep_order, ratio, target, timeout), flush=True)
        if keep_order:
            print(frontier_row(name), flush=True)


main()
