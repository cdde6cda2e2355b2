"""The planner against MiniMalloc and a largest-first greedy, on the public instances and on fresh packings, in one run.

    python benchmarks/planner.py [--minimalloc PATH] [--data ../shared/data/planner] [--fresh 20] [--pure] [--scale]
    python benchmarks/planner.py --networks         every network beside onnxsim's and onnx-tool's planners

MiniMalloc (github.com/google/minimalloc) is built from its source in a scratch folder; without its path its columns
stay empty. The planners take turns on each row, so that ratios hold on a machine shared with others.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.networks import report as report_networks
from benchmarks.peers import largest_first
from graphmem.ir.memory import Lifetimes
from graphmem.planner import Options, plan
from graphmem.planner.table import table_of
from tests.planner.instances import decoder_training, guillotine

MINIMALLOC_SECONDS = 60
LARGE = 10_000  # buffers above which MiniMalloc, made for some hundreds, is not asked


def instances(data: Path, fresh: int, scale: bool) -> Iterator[tuple[str, Lifetimes]]:
    for path in sorted(data.glob("*.csv")):
        yield path.stem, table_of(path.read_text()).lifetimes
    for seed in range(fresh):
        count = 154 + seed * 300 // max(fresh - 1, 1)
        yield f"guillotine {count}", guillotine(900 + seed, count)
    for layers in (100, 1000) if scale else ():
        yield f"decoder {layers} layers", decoder_training(layers, 50)


def minimalloc_seconds(binary: Path, lifetimes: Lifetimes, capacity: int) -> float | None:
    """Seconds of the whole process; None when it finds nothing in time."""
    with tempfile.TemporaryDirectory() as folder:
        rows = ["id,lower,upper,size", *(f"{k},{x.start},{x.stop},{x.nbytes}" for k, x in enumerate(lifetimes))]
        (Path(folder) / "in.csv").write_text("\n".join(rows) + "\n")
        command = [str(binary), f"--capacity={capacity}", f"--input={folder}/in.csv", f"--output={folder}/out.csv"]
        began = perf_counter()
        subprocess.run([*command, f"--timeout={MINIMALLOC_SECONDS}s"], capture_output=True, check=False)
        seconds = perf_counter() - began
        return seconds if (Path(folder) / "out.csv").exists() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minimalloc", type=Path, help="its binary")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "planner")
    parser.add_argument("--fresh", type=int, default=20, help="guillotine packings that were never seen")
    parser.add_argument("--scale", action="store_true", help="training schedules of 10,000 and 100,000 buffers too")
    parser.add_argument("--pure", action="store_true", help="without the compiled kernel")
    parser.add_argument("--networks", action="store_true", help="the arenas of real networks instead")
    options = parser.parse_args()
    if options.networks:
        report_networks(ROOT / "models")
        return
    ours_total = theirs_total = 0.0
    head = f"{'instance':24}{'buffers':>8}{'arena/bound':>12}{'largest first':>14}"
    print(f"{head}{'s':>8}{'MiniMalloc s':>14}{'ratio':>8}")
    for name, lifetimes in instances(options.data, options.fresh, options.scale):
        began = perf_counter()
        result = plan(lifetimes, Options(compiled=not options.pure))
        ours = perf_counter() - began
        greedy = largest_first(lifetimes) / max(result.lower_bound, 1) if len(lifetimes) < LARGE else float("nan")
        row = f"{name:24}{len(lifetimes):8}{1 + result.gap:12.5f}{greedy:14.3f}{ours:8.3f}"
        if options.minimalloc and len(lifetimes) < LARGE:
            theirs = minimalloc_seconds(options.minimalloc, lifetimes, result.arena)
            shown = f"{theirs:14.3f}{theirs / ours:8.1f}" if theirs else f"{'none in':>10}{MINIMALLOC_SECONDS:3}s"
            ours_total, theirs_total = ours_total + ours, theirs_total + (theirs or MINIMALLOC_SECONDS)
            row += shown
        print(row, flush=True)
    if theirs_total:
        ratio = theirs_total / ours_total
        print(f"in total {ratio:.1f} times faster than MiniMalloc, its unsolved counted as its time limit")


if __name__ == "__main__":
    main()
