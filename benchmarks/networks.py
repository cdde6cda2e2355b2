"""The arenas of every network beside those of other planners, in one run: `python benchmarks/planner.py --networks`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from time import perf_counter

import onnx

import graphmem
from benchmarks.peers import largest_first, onnx_tool_arena, onnxsim_arena, onnxsim_own
from graphmem.planner import Options, plan
from tests.oracle import networks

ALIGNMENT = 64
PEERS = {
    "largest first": largest_first,
    "its ties turned": partial(largest_first, ties=-1),
    "onnxsim": onnxsim_arena,
    "onnx-tool": onnx_tool_arena,
}


def cases(models: Path) -> list[tuple[str, Path, dict[str, int]]]:
    """(name, file, dimensions) of the measured networks and of models/, there with batch 1 and 32 tokens."""
    found = []
    for name in networks.names():
        path = networks.path_of(name)
        found.append((name, path, networks.dims_of(name, onnx.load(path, load_external_data=False))))
    for path in sorted(models.glob("*.onnx")):
        proto = onnx.load(path, load_external_data=False)
        dims = {d.dim_param for info in proto.graph.input for d in info.type.tensor_type.shape.dim if d.dim_param}
        found.append((path.stem, path, {name: 1 if name == "batch" else 32 for name in sorted(dims)}))
    return found


def report(models: Path) -> None:
    """Print one row a network: bound and arena in bytes, seconds, and how far above the bound each planner ends."""
    print(f"{'network':34}{'buffers':>8}{'bound':>14}{'ours':>14}{'gap':>8}{'s':>7}", end="")
    print("".join(f"{name:>16}" for name in PEERS) + f"{'onnxsim own':>16}{'ours in place':>14}")
    optimal, worse, seconds = 0, [], []
    rows = cases(models)
    for name, path, dims in rows:
        analysis = graphmem.analyze(path, dims)
        lifetimes = analysis.inference.lifetimes
        began = perf_counter()
        made = plan(lifetimes, Options(alignment=ALIGNMENT))
        seconds.append(perf_counter() - began)
        optimal += made.is_optimal
        row = f"{name:34}{len(lifetimes):8}{made.lower_bound:14,}{made.arena:14,}{made.gap:8.2%}{seconds[-1]:7.3f}"
        for peer, planner in PEERS.items():
            arena = planner(lifetimes, ALIGNMENT)
            row += f"{'-':>16}" if arena is None else f"{arena / made.lower_bound - 1:16.1%}"
            worse += [(name, peer)] if arena is not None and arena < made.arena else []
        own = onnxsim_own(path, analysis.graph)
        ours = graphmem.plan(path, dims, memory_model="inplace", alignment=1).arena
        worse += [(name, "onnxsim, own rules")] if own is not None and own[1] and own[0] < ours else []
        shown = "-" if own is None else f"{'' if own[1] else '>= '}{own[0]:,}"
        print(f"{row}{shown:>16}{ours:14,}", flush=True)
    print(f"{optimal} of {len(rows)} at their bound; longest {max(seconds):.2f} s, {sum(seconds):.2f} s in all")
    print(f"a peer was better on: {worse or 'no network'}; >= marks plans that lack tensors or what branches read")
