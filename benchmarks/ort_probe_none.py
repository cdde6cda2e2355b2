"""Which operators of ONNX Runtime's CPU provider allocate nothing beside their outputs, by running each alone.

    python -m benchmarks.ort_probe_none ROWS.jsonl [WORD] > FOUND.json     only operators with WORD in their name

ROWS.jsonl gets a line per run, after those that it has; FOUND.json is the summary of all of them.

Cases are onnx's own node tests, those of tests/oracle/test_contrib.py and EXTRA below; each is run as it is, tiled to
larger sizes, in float16 and float64, with its parameters as weights, and with older kernels (opsets 9 and 12), as far
as onnxruntime accepts that and executes it as that single operator. Whatever a run allocates that has not the size of
one of its outputs is workspace. Input tensors that onnxruntime copies (strings, sequences) do not count.
FOUND.json has for every operator the runs, those with workspace, the most bytes, an example; and what was not reached.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.ort_probe_none_extra import EXTRA, of_sequences
from graphmem.measure.process import compiled, traced
from graphmem.ort.kernels.kernel import aligned

CASES_PER_OPERATOR, SECONDS_PER_CASE, MOST_ELEMENTS, STRING = 12, 6, 1 << 18, 32  # sizeof(std::string)
ENVIRONMENT = {"ALLOW_RELEASED_ONNX_OPSET_ONLY": "0"}  # node tests are of the newest opset
Feeds = dict[str, Any]


def cases() -> Iterator[tuple[str, onnx.ModelProto, Feeds]]:
    """(operator, model of one node, inputs)."""
    from onnx.backend.test.case.node import collect_testcases

    from tests.oracle.test_contrib import OPS, built

    for call in (*OPS, *EXTRA):
        yield call.name, *built(call)
    yield from of_sequences()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tests = collect_testcases()
    seen: Counter[str] = Counter()
    for test in tests:
        op_type = test.model.graph.node[0].op_type
        if len(test.model.graph.node) == 1 and "_expanded" not in test.name and seen[op_type] < CASES_PER_OPERATOR:
            seen[op_type] += 1
            given = [numpy_helper.to_array(v) if isinstance(v, TensorProto) else v for v in test.data_sets[0][0]]
            given = [np.asarray(v) if isinstance(v, np.generic) else v for v in given]
            names = [info.name for info in test.model.graph.input]
            yield op_type, test.model, dict(zip(names, given, strict=True))


def tiled(all_inputs: bool, axis: int | None, times: int) -> Callable[[Feeds], Feeds]:
    """Inputs repeated along one axis, or along all of them; the first input only, or every one."""

    def change(feeds: Feeds) -> Feeds:
        made = {}
        for i, (name, x) in enumerate(feeds.items()):
            made[name] = x
            if isinstance(x, np.ndarray) and x.ndim and (all_inputs or i == 0):
                reps = [times if axis is None else 1] * x.ndim
                if axis is not None:
                    reps[axis] = times
                made[name] = np.ascontiguousarray(np.tile(x, reps))
        return made

    return change


SIZES = [tiled(a, axis, t) for a in (True, False) for axis, t in ((0, 16), (-1, 16), (None, 8))]


def retyped(number: int) -> Callable[[onnx.ModelProto, Feeds], tuple[onnx.ModelProto, Feeds]]:
    """float32 inputs, outputs and weights in another floating type."""
    dtype = helper.tensor_dtype_to_np_dtype(number)

    def change(model: onnx.ModelProto, feeds: Feeds) -> tuple[onnx.ModelProto, Feeds]:
        for info in (*model.graph.input, *model.graph.output):
            if info.type.tensor_type.elem_type == TensorProto.FLOAT:
                info.type.tensor_type.elem_type = number
        for weight in model.graph.initializer:
            if weight.data_type == TensorProto.FLOAT:
                weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).astype(dtype), weight.name))
        return model, {n: x.astype(dtype) if getattr(x, "dtype", None) == np.float32 else x for n, x in feeds.items()}

    return change


def older(opset: int) -> Callable[[onnx.ModelProto, Feeds], tuple[onnx.ModelProto, Feeds]]:
    def change(model: onnx.ModelProto, feeds: Feeds) -> tuple[onnx.ModelProto, Feeds]:
        for entry in model.opset_import:
            if entry.domain in ("", "ai.onnx"):
                entry.version = min(entry.version, opset)
        return model, feeds

    return change


def weighted(model: onnx.ModelProto, feeds: Feeds) -> tuple[onnx.ModelProto, Feeds]:
    """Every tensor but the first input as a weight."""
    kept, first = list(model.graph.input)[:1], next(iter(feeds), None)
    for info in list(model.graph.input)[1:]:
        model.graph.initializer.append(numpy_helper.from_array(feeds[info.name], info.name))
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return model, {first: feeds[first]} if first else {}


FORMS: dict[str, Callable[[onnx.ModelProto, Feeds], tuple[onnx.ModelProto, Feeds]]] = {
    "as it is": lambda model, feeds: (model, feeds),
    "float16": retyped(TensorProto.FLOAT16),
    "float64": retyped(TensorProto.DOUBLE),
    "opset 12": older(12),
    "opset 9": older(9),
    "weights": weighted,
}


def session_of(model: onnx.ModelProto, scratch: str) -> tuple[Any, list[tuple[str, str]]]:
    """A session of the model with open shapes, and the operators that it executes."""
    import onnxruntime

    for info in (*model.graph.input, *model.graph.output):
        if info.type.HasField("tensor_type"):
            info.type.tensor_type.ClearField("shape")
    model.ir_version = min(model.ir_version, 10)
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = f"{scratch}/executed.onnx"
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(options.optimized_model_filepath).graph.node
    return session, [("" if node.domain == "ai.onnx" else node.domain, node.op_type) for node in nodes]


def blocks(value: Any) -> list[int]:
    """Sizes of the buffers that a value takes."""
    if isinstance(value, list | tuple):
        return [size for item in value for size in blocks(item)]
    if value is None:
        return []
    array = np.asarray(value)
    width = STRING if array.dtype.kind in "OUST" else array.dtype.itemsize
    return [aligned(array.size * width)]


def copied(value: Any) -> bool:
    return isinstance(value, list) or np.asarray(value).dtype.kind in "OUST"


def workspace(session: Any, feeds: Feeds) -> tuple[list[int], int]:
    """Sizes of what a run allocates beside its outputs, and the bytes of the outputs."""
    kept: list[Any] = []
    found = traced(lambda: kept.append(session.run(None, feeds)))["events"]
    made = Counter(aligned(size) for size in found if size > 0)
    outputs = [size for value in kept[0] for size in blocks(value)]
    if Counter(filter(None, outputs)) - made:
        raise ValueError("an output is in no buffer of its own, so nothing can be told from the sizes")
    inputs = [size for value in feeds.values() if value is not None and copied(value) for size in blocks(value)]
    return sorted((made - Counter(outputs) - Counter(inputs)).elements()), sum(outputs)


def probed(model: onnx.ModelProto, feeds: Feeds, scratch: str) -> Iterator[tuple[str, str, list[int], int]]:
    """(domain, operator, workspaces, output bytes) of every run that worked."""
    variants = [feeds]
    for size in SIZES:
        changed = size(feeds)
        if max((getattr(x, "size", 0) for x in changed.values()), default=0) <= MOST_ELEMENTS:
            variants.append(changed)
    for form, change in FORMS.items():
        for given in [[v] for v in variants] if form == "weights" else [variants]:
            try:
                copy = onnx.ModelProto.FromString(model.SerializeToString())
                changed_model, first = change(copy, given[0])
                session, nodes = session_of(changed_model, scratch)
            except Exception:
                continue
            if len(nodes) != 1:
                continue
            for feed in given:
                try:
                    yield *nodes[0], *workspace(session, first if feed is given[0] else change(copy, feed)[1])
                except Exception:
                    continue


def child(model: onnx.ModelProto, feeds: Feeds, out: Path) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    signal.alarm(SECONDS_PER_CASE)
    with tempfile.TemporaryDirectory() as scratch, out.open("a") as file:
        for row in probed(model, feeds, scratch):
            print(json.dumps(row), file=file, flush=True)


def summary(out: Path) -> dict[str, Any]:
    import onnxruntime.capi.onnxruntime_pybind11_state as state

    runs: dict[tuple[str, str], list[tuple[list[int], int]]] = defaultdict(list)
    for line in out.read_text().splitlines():
        domain, op_type, spaces, output = json.loads(line)
        runs[domain, op_type].append((spaces, output))
    every = {(d.domain, d.op_name) for d in state.get_all_opkernel_def() if d.provider == "CPUExecutionProvider"}
    found = {}
    for key, rows in sorted(runs.items()):
        with_any = [row for row in rows if row[0]]
        example = max(with_any, key=lambda row: sum(row[0]), default=None)
        found[":".join(key)] = {
            "runs": len(rows), "with workspace": len(with_any), "largest output": max(row[1] for row in rows),
            "example": example and {"workspace": example[0][:8], "outputs": example[1]},
        }  # fmt: skip
    return {"found": found, "not reached": sorted(":".join(key) for key in every - runs.keys())}


def main() -> None:
    if "LD_PRELOAD" not in os.environ:
        with tempfile.TemporaryDirectory() as scratch:
            tracer = compiled(Path(scratch))
            assert tracer is not None, "no C compiler"
            command = [sys.executable, "-m", "benchmarks.ort_probe_none", *sys.argv[1:]]
            os.spawnve(os.P_WAIT, sys.executable, command, {**os.environ, **ENVIRONMENT, "LD_PRELOAD": str(tracer)})
        return
    import onnxruntime

    assert onnxruntime.get_available_providers()
    out, word = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
    out.touch()
    for op_type, model, feeds in cases():
        if word in op_type:
            pid = os.fork()
            if not pid:
                child(model, feeds, out)
                os._exit(0)
            os.waitpid(pid, 0)
    print(json.dumps(summary(out), indent=1))


if __name__ == "__main__":
    main()
