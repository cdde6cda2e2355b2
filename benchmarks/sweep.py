"""Sweep a folder of networks in a 4 x 2 x 3 grid: 1 process, 2 processes, 2 Dask workers, and killed five times.

    python benchmarks/sweep.py ../shared/data

Prints the table of docs/fleet.md. Fails unless every way gives the same rows but for their seconds. What a process per
cell would take is estimated from a random sample of cells, each run as `graphmem train` of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import graphmem
from graphmem.fleet.work import _LAST

HOOK = Path(__file__).parents[1] / "tests" / "fleet" / "hook"
BATCHES, PRECISIONS, DEVICES = (1, 2, 4, 8), ("fp32", "bf16-amp"), ("rtx3060", "rtx4090", "h100 sxm")
GRID = {"batch": BATCHES, "precision": PRECISIONS, "device": DEVICES, "mode": "training", "optimizer": "adamw"}
WORDS = ["--train", "--optimizer", "adamw", "--batch", ",".join(map(str, BATCHES))]
WORDS += ["--precision", ",".join(PRECISIONS), "--device", ",".join(DEVICES)]
SEED = 20261121


def command(folder: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "graphmem", "sweep", str(folder), *WORDS, "-o", str(out), *more]


class Stopwatch:
    """Seconds on the wall and on processors, of this process and of children that have ended."""

    def __init__(self) -> None:
        self.started = time.perf_counter(), self._processors()

    def _processors(self) -> float:
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system

    def read(self, parts: int = 1) -> tuple[float, float]:
        """Both, divided by `parts`."""
        return (time.perf_counter() - self.started[0]) / parts, (self._processors() - self.started[1]) / parts


def swept(folder: Path, out: Path, *more: str) -> tuple[float, float]:
    watch = Stopwatch()
    subprocess.run(command(folder, out, *more), check=True, capture_output=True, timeout=3600)
    return watch.read()


def timeless(path: Path) -> list[list[str]]:
    """The rows of a CSV without their last column, the seconds."""
    with path.open(newline="", encoding="utf-8") as file:
        return [row[:-1] for row in csv.reader(file)]


@contextlib.contextmanager
def dask_cluster(folder: Path) -> Iterator[str]:
    file = folder / "scheduler.json"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    dask = [sys.executable, "-m", "dask"]
    host = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    scheduler = subprocess.Popen([*dask, "scheduler", "--scheduler-file", str(file), *host], **quiet)
    here = ["--local-directory", str(folder), "--no-dashboard", "--nworkers", "2", "--nthreads", "1"]
    worker = subprocess.Popen([*dask, "worker", "--scheduler-file", str(file), *here], **quiet)
    try:
        while not file.exists():
            time.sleep(0.05)
        yield json.loads(file.read_text())["address"]
    finally:
        for process in (worker, scheduler):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def per_process(rows: Sequence[list[str]], sample: int) -> tuple[float, float]:
    """Mean seconds of a cell in a process of its own."""
    header, *body = rows
    chosen = random.Random(SEED).sample(body, sample)
    watch = Stopwatch()
    for row in chosen:
        cell = dict(zip(header, row, strict=False))
        words = ["train", cell["model"], "--batch", cell["batch"], "--precision", cell["precision"]]
        words += ["--optimizer", "adamw", "--device", "cuda", "--format", "json"]
        subprocess.run([sys.executable, "-m", "graphmem", *words], check=False, capture_output=True)
    return watch.read(sample)


def alone(rows: Sequence[list[str]], sample: int) -> tuple[float, float]:
    """Mean seconds of a cell in one process that shares nothing between cells."""
    header, *body = rows
    watch = Stopwatch()
    for row in random.Random(SEED + 1).sample(body, sample):
        cell = dict(zip(header, row, strict=False))
        grid = {name: cell[name] for name in ("precision", "device", "optimizer", "mode")}
        _LAST.clear()
        list(graphmem.sweep(cell["model"], {**grid, "batch": int(cell["batch"])}, jobs=0))
    return watch.read(sample)


def killed(folder: Path, here: Path, kills: int, figures: int) -> tuple[Path, str]:
    """Kill the sweep and leave its journal to the next, `kills` times; then let it end."""
    out, log = here / "killed.csv", here / "opened.log"
    log.touch()
    journal = here / "killed.csv.journal"
    environment = {**os.environ, "SWEEP_LOG": str(log), "PYTHONPATH": os.pathsep.join([str(HOOK), *sys.path[1:]])}
    chance = random.Random(SEED)
    moments = sorted(chance.uniform(0.03, 0.95) for _ in range(kills))
    told = []
    for moment in moments:
        process = subprocess.Popen(
            command(folder, out, "--jobs", "2"), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and lines(journal) < moment * figures:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the sweep ended before it could be killed"
        told.append(f"{moment:.0%}")
    subprocess.run(command(folder, out, "--jobs", "2"), env=environment, check=True, capture_output=True)
    keys = Counter(json.loads(line)["key"] for line in journal.read_bytes().splitlines()[1:])
    assert max(keys.values()) == 1, "a figure that was written down was worked out again"
    return out, f"killed at {', '.join(told)}: {sum(keys.values())} figures written down, none twice"


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def ways(folder: Path, here: Path) -> dict[str, tuple[float, float]]:
    """Every way to sweep, all with the same rows, and the seconds that it took; one.csv has the rows."""
    took = {"1 process": swept(folder, here / "one.csv", "--jobs", "1")}
    rows = timeless(here / "one.csv")
    for way in ("2 processes", "2 processes again, all known"):
        took[way] = swept(folder, here / "two.csv", "--jobs", "2")
        assert timeless(here / "two.csv") == rows
    try:
        import distributed  # noqa: F401
    except ImportError:
        print("NO CLUSTER: dask.distributed is not installed (extra `dask`)")
        return took
    with dask_cluster(here) as address:
        took["Dask, 2 workers"] = swept(folder, here / "dask.csv", "--scheduler", address)
    assert timeless(here / "dask.csv") == rows
    return took


def told(rows: Sequence[list[str]], took: dict[str, tuple[float, float]], sample: int) -> None:
    """Print the table; of Dask's workers the processor seconds are not seen from here."""
    cells, error = len(rows) - 1, rows[0].index("error")
    failed, models = sum(bool(row[error]) for row in rows[1:]), len({row[0] for row in rows[1:]})
    print(f"{models} networks, {cells} rows, {failed} failed; identical but for the seconds", flush=True)
    cell, lone = per_process(rows, sample), alone(rows, sample)
    whole = cell[1] * cells
    took = {
        f"a process per cell ({sample} cells sampled)": (cell[0] * cells, whole),
        f"one process, nothing shared ({sample} cells sampled)": (lone[0] * cells, lone[1] * cells),
        **took,
    }
    print("\n| way | seconds | processor seconds | rows per processor second | saved |\n|---|---|---|---|---|")
    for way, (wall, used) in took.items():
        figures = f"{used:.0f} | {cells / used:.3g} | {1 - used / whole:.1%}" if "Dask" not in way else "| |"
        print(f"| {way} | {wall:.0f} | {figures} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sample", type=int, default=30, help="cells run alone")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--kills-only", action="store_true", help="nothing but the sweep that is killed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        if asked.kills_only:
            swept(asked.folder, here / "two.csv", "--jobs", "2")
        else:
            took = ways(asked.folder, here)
            told(timeless(here / "one.csv"), took, asked.sample)
        if asked.kills:
            out, words = killed(asked.folder, here, asked.kills, lines(here / "two.csv.journal"))
            assert timeless(out) == timeless(here / "two.csv")
            print(f"\n{words}; the same rows")


if __name__ == "__main__":
    main()
