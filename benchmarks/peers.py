"""Lifetimes -> arenas of other planners: largest first, onnxsim's and onnx-tool's, all asked about the same lifetimes.

Both peers plan only models and each has its own idea of liveness, so the lifetimes are given to them as what they read:
a node for each step that writes what starts there and reads what ends there. Their own placement then runs unchanged.
Sizes are rounded up to the alignment before, since onnxsim knows none.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
from onnx import helper

from graphmem.ir.graph import Graph
from graphmem.ir.memory import Lifetimes
from graphmem.ir.types import TensorType
from graphmem.measure.ordinary import type_proto
from graphmem.planner.kernel import Kernel
from graphmem.planner.problem import Problem, compressed

Rows = list[tuple[list[str], list[str]]]


def largest_first(lifetimes: Lifetimes, alignment: int = 1, ties: int = 1) -> int:
    """The arena of first fit in order of size: what most runtimes do. Of equals the earliest, or with -1 the latest."""
    start, stop, sections = compressed(lifetimes.start, lifetimes.stop)
    ones = np.ones(len(lifetimes), dtype=np.int64)
    size = _rounded(lifetimes, alignment)
    problem = Problem(start, stop, size, ones, -ones, sections)
    order = np.lexsort((ties * np.arange(len(lifetimes)), -size))
    return int((Kernel().first_fit(problem, order) + size).max(initial=0))


def onnxsim_arena(lifetimes: Lifetimes, alignment: int) -> int | None:
    """By onnxsim.plan_activation_memory (largest first, best fit); None where it is not installed."""
    try:
        from onnxsim import plan_activation_memory
    except ImportError:
        return None
    sizes = _rounded(lifetimes, alignment).tolist()
    infos = [helper.make_tensor_value_info(f"t{row}", onnx.TensorProto.UINT8, [size]) for row, size in enumerate(sizes)]
    nodes = [helper.make_node("Step", reads, writes) for reads, writes in _steps(lifetimes)]
    model = helper.make_model(helper.make_graph(nodes, "lifetimes", [], [], value_info=infos))
    plan = plan_activation_memory(model, run_shape_inference=False)
    assert not plan.unplanned
    return int(plan.arena_bytes)


def onnxsim_own(path: Path, graph: Graph) -> tuple[int, bool] | None:
    """The plan that onnxsim makes of the model itself, by its own liveness and in-place rules, told our exact types.

    (arena, whether that is a plan at all: it leaves out what it cannot size, and does not see what branches read);
    None where it is not installed.
    """
    try:
        from onnxsim import plan_activation_memory
    except ImportError:
        return None
    model = onnx.load(path, load_external_data=False)
    tensors = {name: t.type for name, t in graph.tensors.items() if isinstance(t.type, TensorType)}
    for info in (*model.graph.input, *model.graph.output):
        if info.name in tensors:
            info.type.CopyFrom(type_proto(tensors[info.name]))
    there = {info.name for info in (*model.graph.input, *model.graph.output)}
    del model.graph.value_info[:]
    model.graph.value_info.extend(
        helper.make_value_info(name, type_proto(kind)) for name, kind in tensors.items() if name not in there
    )
    plan = plan_activation_memory(model, run_shape_inference=False)
    return int(plan.arena_bytes), not plan.unplanned and not any(node.bodies for node in graph.nodes)


def onnx_tool_arena(lifetimes: Lifetimes, alignment: int) -> int | None:
    """By onnx-tool's Graph.compress_memory on a stand-in for its graph; None where it is not installed."""
    try:
        from onnx_tool.graph import Graph
    except ImportError:
        return None
    sizes = _rounded(lifetimes, alignment).tolist()
    steps = _steps(lifetimes)
    tensors = {f"t{row}": SimpleNamespace(get_memsize=lambda size=size: size) for row, size in enumerate(sizes)}
    graph = SimpleNamespace(
        input=[],
        output=[],
        nodemap={k: SimpleNamespace(input=reads, output=writes) for k, (reads, writes) in enumerate(steps)},
        consumedby={name: [k] for k, (reads, _) in enumerate(steps) for name in reads},
        tensormap=tensors,
        dynamics=list(tensors),
        log=lambda _: None,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return int(Graph.compress_memory(graph, size_padding=alignment)[1])


def _steps(lifetimes: Lifetimes) -> Rows:
    """For each step (names of the rows that end after it, names of the rows that start with it)."""
    steps: Rows = [([], []) for _ in range(int(lifetimes.stop.max(initial=0)))]
    for row, (start, stop) in enumerate(zip(lifetimes.start.tolist(), lifetimes.stop.tolist(), strict=True)):
        if start < stop:
            steps[start][1].append(f"t{row}")
            steps[stop - 1][0].append(f"t{row}")
    return steps


def _rounded(lifetimes: Lifetimes, alignment: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.asarray(-(-lifetimes.nbytes // alignment) * alignment, dtype=np.int64)
