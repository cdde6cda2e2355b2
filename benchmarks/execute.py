"""Plans executed: each network run step by step inside its arena, outputs compared bit for bit with an ordinary run.

    python benchmarks/execute.py [NETWORK...] [--memory-model views] [--order file]

Without names all measured networks (../shared/data/inference, absent weights made up), the light ones of the onnx wheel
and the tiny ones of models/. One line each; the exit code is 1 if any differs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import perf_counter

import onnx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import graphmem
from graphmem.ir.errors import InputError
from tests.oracle import networks

TINY_SEQUENCE = {"tiny_gpt": {"batch": 2, "sequence": 16}}  # its table of positions has 32 rows


def cases() -> dict[str, Path]:
    tiny = {path.stem: path for path in sorted((ROOT / "models").glob("tiny_*.onnx"))}
    return {**tiny, **{name: networks.path_of(name) for name in networks.names()}}


def line(name: str, path: Path, memory_model: str, order: str) -> tuple[str, bool | None]:
    """(the row, whether outputs were equal; None where onnxruntime itself refuses the model)."""
    dims = TINY_SEQUENCE.get(name) or networks.dims_of(name, onnx.load(path, load_external_data=False))
    began = perf_counter()
    try:
        plan, run = graphmem.execute(path, dims, memory_model=memory_model, order=order)
    except InputError as error:
        return f"{name:34} not run: {str(error)[:160]}", None
    verdict = "equal" if run.difference is None else f"DIFFERS in {run.difference}"
    guards = "intact" if run.guards_intact else "OVERWRITTEN"
    row = f"{name:34}{run.steps:6}{run.bound:7}{len(run.copied):7}{plan.arena:13,}{plan.gap:9.3%}  {verdict}, {guards}"
    return f"{row}, {perf_counter() - began:.1f} s", run.is_faithful


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--memory-model", default="views")
    parser.add_argument("--order", default="file")
    options = parser.parse_args()
    print(f"{'network':34}{'steps':>6}{'bound':>7}{'copied':>7}{'arena bytes':>13}{'gap':>9}  outputs, guards")
    seen: list[bool | None] = []
    for name, path in cases().items():
        if not options.names or name in options.names:
            row, faithful = line(name, path, options.memory_model, options.order)
            seen.append(faithful)
            print(row, flush=True)
    print(
        f"{seen.count(True)} equal, {seen.count(False)} different, {seen.count(None)} that onnxruntime itself refuses"
    )
    sys.exit(int(False in seen))


if __name__ == "__main__":
    main()
