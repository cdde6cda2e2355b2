"""Holds `graphmem.train_ranks` against real steps on several processes: `python benchmarks/ranks_table.py [CASE...]`.

Needs torch; gloo on loopback, 2 to 4 processes at a time, about 15 seconds a case. Prints the Markdown table of
docs/parallel.md: the peak of the rank where prediction and measurement differ most.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from dataclasses import dataclass
from datetime import date
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests" / "oracle")]

from graphmem.autograd.rebatch import rebatched
from graphmem.ir.options import TrainingOptions
from graphmem.ir.ranks import Parallel, Ranked
from graphmem.raising import raised
from graphmem.reader import read
from graphmem.schedule.parallel import parallel_of, ranked
from graphmem.schedule.parallel.pipelined import pipelined
from graphmem.schedule.parallel.sharding import units

WAYS = ("ddp", "ddp-view", "zero1", "zero2", "zero3")


@dataclass(frozen=True)
class Case:
    """One measured step; `batch` is that of a rank, of a pipeline that of the step."""

    network: str
    mode: str
    ranks: int
    optimizer: str
    batch: int

    def __str__(self) -> str:
        return f"{self.network}-{self.mode}-{self.ranks}-{self.optimizer}"


CASES = [
    *(Case(network, mode, 2, "adamw", 4) for network in ("cnn", "gpt") for mode in WAYS),
    *(Case(network, mode, 4, "adamw", 2) for network in ("cnn", "gpt") for mode in ("ddp", "zero1", "zero2", "zero3")),
    *(Case(network, mode, 3, "momentum", 2) for network in ("cnn", "gpt") for mode in ("zero1", "zero3")),
    *(Case("tied", mode, 2, "adamw", 4) for mode in ("ddp", "zero1", "zero3")),
    *(Case("looped", mode, 2, "adamw", 4) for mode in ("zero2", "zero3")),
    *(Case(network, "pipeline:4", 2, "adamw", 8) for network in ("cnn", "gpt")),
    *(Case(network, "pipeline:4", 4, "adamw", 8) for network in ("cnn", "gpt")),
    *(Case(network, "pipeline:8", 4, "sgd", 8) for network in ("cnn", "gpt")),
]


def exported(network: str, batch: int, path: Path) -> None:
    """Write the network as ONNX."""
    import torch
    from ranks_networks import NETWORKS  # type: ignore[import-not-found]

    torch.manual_seed(0)
    module, inputs, _, _ = NETWORKS[network](batch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(module.train(), inputs, dynamo=True, optimize=False, verbose=False)
    assert program is not None
    program.save(str(path), external_data=False)


def predicted(case: Case, path: Path) -> Ranked:
    """What graphmem says; a pipeline is cut as the measured one is, into stages of as many blocks."""
    program = raised(read(path, None))
    frozen = ("blocks.0.*",) if case.network == "tied" else ()
    settings = TrainingOptions(loss="cross_entropy", optimizer=case.optimizer, freeze=frozen)
    if case.mode.startswith("pipeline"):
        micro = int(case.mode.split(":")[1])
        blocks = units(program)[1:]
        at = [blocks[i * len(blocks) // case.ranks].runs[0][0] for i in range(1, case.ranks)]
        way = Parallel("pipeline", case.ranks, micro)
        return pipelined(rebatched(program, case.batch, case.batch // micro), settings, way, at)
    kind, _, view = case.mode.partition("-")
    return ranked(program, settings, parallel_of(f"{kind}:{case.ranks}" + (f":{view}" if view else "")))


def compared(case: Case) -> list[tuple[int, int]]:
    """(predicted, measured) peak of every rank."""
    from ranks_step import measured  # type: ignore[import-not-found]

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{case.network}.onnx"
        exported(case.network, case.batch, path)
        found = predicted(case, path)
    truth = measured(case.network, case.mode, case.ranks, case.optimizer, case.batch)
    return [(rank.peak, real.peak) for rank, real in zip(found.ranks, truth, strict=True)]


def main() -> None:
    import torch

    wanted = sys.argv[1:]
    print(f"{date.today()}, torch {torch.__version__}, gloo on the CPU\n")
    print("| network | way | ranks | optimizer | batch | peaks predicted | worst difference |")
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        if wanted and str(case) not in wanted:
            continue
        pairs = compared(case)
        worst = max((ours - real for ours, real in pairs), key=abs)
        peaks = " ".join(dict.fromkeys(f"{ours:,}" for ours, _ in pairs))
        row = (case.network, case.mode, case.ranks, case.optimizer, case.batch, peaks, f"{worst:+,}")
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main()
