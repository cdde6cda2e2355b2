"""Time and memory of whole processes: graphmem beside ONNX's shape inference, ORT's symbolic one and onnxsim's planner.

    python benchmarks/analyze.py MODEL [--dim NAME=N]... [--runs 3]

Each tool runs in a process of its own, in turn, so that a drift of the machine touches all of them; the table gives the
median wall time, the peak resident memory and graphmem's ratio to each. The peers get the same model with its free
dimensions bound by graphmem's reader beforehand (they have no option for it) and no weights; what they do not do is in
the last column.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LOAD = "import onnx, sys; model = onnx.load(sys.argv[1], load_external_data=False); "
PEERS = {
    "graphmem --help": ("", "imports nothing"),
    "graphmem MODEL": ("", "types, lifetimes, peak"),
    "onnx infer_shapes": (LOAD + "onnx.shape_inference.infer_shapes(model)", "types only, some missing"),
    "onnx infer_shapes, data_prop": (
        LOAD + "onnx.shape_inference.infer_shapes(model, data_prop=True)",
        "types only, some missing",
    ),
    "ORT symbolic": (
        LOAD + "from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference as S; "
        "S.infer_shapes(model, auto_merge=True)",
        "types only; needs the weights",
    ),
    "onnxsim planner": (
        LOAD
        + "import onnxsim; onnxsim.plan_activation_memory(onnx.shape_inference.infer_shapes(model, data_prop=True))",
        "types, lifetimes, plan",
    ),
}


def command(tool: str, model: Path, bound: Path, dims: list[str]) -> list[str]:
    """The command line of one tool."""
    if tool == "graphmem --help":
        return [sys.executable, "-m", "graphmem", "--help"]
    if tool == "graphmem MODEL":
        return [sys.executable, "-m", "graphmem", str(model), *(part for dim in dims for part in ("--dim", dim))]
    return [sys.executable, "-c", PEERS[tool][0], str(bound)]


def measured(arguments: list[str]) -> tuple[float, float, int]:
    """Wall seconds, peak resident MiB and exit status of one process."""
    start = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return time.perf_counter() - start, usage.ru_maxrss / 1024, process.returncode


def with_dims_bound(model: Path, dims: dict[str, int], target: Path) -> None:
    """Write `model` with its inputs' free dimensions replaced by numbers, and without stale value_info."""
    import onnx

    import graphmem

    inputs = graphmem.analyze(model, dims).model.inputs
    proto = onnx.load(model, load_external_data=False)
    for info in proto.graph.input:
        if info.name in inputs:
            for dim, size in zip(info.type.tensor_type.shape.dim, inputs[info.name].shape, strict=True):
                dim.dim_value = size
    del proto.graph.value_info[:]
    target.write_bytes(proto.SerializeToString())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--dim", action="append", default=[], metavar="NAME=N")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    dims = {name: int(number) for name, _, number in (dim.rpartition("=") for dim in options.dim)}
    with tempfile.TemporaryDirectory() as scratch:
        bound = Path(scratch) / "bound.onnx"
        # In a process of its own: a child's peak resident memory starts at its parent's.
        preparing = multiprocessing.get_context("spawn").Process(
            target=with_dims_bound, args=(options.model, dims, bound)
        )
        preparing.start()
        preparing.join()
        results: dict[str, list[tuple[float, float, int]]] = {tool: [] for tool in PEERS}
        for _ in range(options.runs):
            for tool in PEERS:
                results[tool].append(measured(command(tool, options.model, bound, options.dim)))
    ours = statistics.median(seconds for seconds, _, _ in results["graphmem MODEL"])
    print(f"{options.model.name}, {options.runs} runs each, in turn")
    print(f"{'tool':<30}{'seconds':>9}{'MiB':>8}{'ours / its':>12}  what it does")
    for tool, runs in results.items():
        seconds = statistics.median(s for s, _, _ in runs)
        failed = "" if all(code == 0 for _, _, code in runs) else " (FAILED)"
        print(
            f"{tool:<30}{seconds:9.2f}{max(m for _, m, _ in runs):8.0f}{ours / seconds:12.2f}  {PEERS[tool][1]}{failed}"
        )


if __name__ == "__main__":
    main()
