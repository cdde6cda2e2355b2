"""python -m tests.oracle.grid [--each 400] [--only Conv,MaxPool]: our types beside onnxruntime's real outputs.

Operator x attributes x opset, one node a model, drawn from a seed until `--each` different calls ran in onnxruntime
with optimizations off; each operator in a process of its own, as some calls end one. Of every output:

    exact     the type that came out            bounded   a bound that holds        open     nothing was claimed
    stated    another, and an issue of kind "runtime" says which onnxruntime makes and why (docs/runtime-sizes.md)
    refused   ModelError, though it ran         wrong     an exact type or a bound that is not true
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import helper

from graphmem.ir.errors import ModelError
from graphmem.ir.graph import Graph
from graphmem.ir.types import BoundedType, SequenceType, TensorType, Type
from graphmem.reader import graph_of
from graphmem.reader.protos import DTYPES
from tests.oracle.grid_operators import ML, MS, OPERATORS, Trial

SHOWN = 12  # examples of one outcome
GOOD = ("exact", "bounded", "open", "stated")


@dataclass
class Tally:
    """How often an operator's calls ended how, and examples of all that is not exact."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, outcome: str, example: str) -> None:
        self.counts[outcome] += 1
        if outcome != "exact" and len(self.examples.setdefault(outcome, [])) < SHOWN:
            self.examples[outcome].append(example)


def model_of(trial: Trial) -> tuple[onnx.ModelProto, dict[str, Any]]:
    names, infos, weights, feeds = [], [], [], {}
    for position, given in enumerate(trial.inputs):
        names.append("" if given is None else f"i{position}")
        if given is None:
            continue
        array = np.asarray(given)
        if position in trial.fed:
            infos.append(
                helper.make_tensor_value_info(names[-1], helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            )
            feeds[names[-1]] = array
        else:
            weights.append(onnx.numpy_helper.from_array(array, names[-1]))
    outputs = [f"o{i}" for i in range(trial.outputs)]
    node = helper.make_node(trial.op, names, outputs, domain=trial.domain, **trial.attributes)
    graph = helper.make_graph([node], "g", infos, [onnx.ValueInfoProto(name=o) for o in outputs], weights)
    opsets = [helper.make_opsetid(d, v) for d, v in (("", trial.opset), (MS, 1), (ML, 3))]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10), feeds


def ran(model: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any] | None:
    """What onnxruntime puts out, or None where it refuses the call."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        return list(session.run(None, feeds))
    except Exception:  # whatever it says, the call is none that runs
        return None


def verdict(type_: Type, value: Any) -> str:
    """How a claimed type stands to the value that came out."""
    if isinstance(value, list):
        elements = type_.elements if isinstance(type_, SequenceType) else None
        if elements is None:
            return "open"
        if len(elements) != len(value):
            return "wrong"
        found = {verdict(a, b) for a, b in zip(elements, value, strict=True)} or {"exact"}
        return next(outcome for outcome in ("wrong", "open", "bounded", "exact") if outcome in found)
    array = np.asarray(value)
    dtype = "string" if array.dtype.kind in "OUS" else DTYPES[helper.np_dtype_to_tensor_dtype(array.dtype)]
    if isinstance(type_, TensorType):
        return "exact" if type_ == TensorType(dtype, array.shape) else "wrong"
    if isinstance(type_, BoundedType):
        fits = len(type_.high) == array.ndim and all(
            map(lambda a, n, b: a <= n <= b, type_.low, array.shape, type_.high)
        )
        return "bounded" if fits and type_.dtype == dtype else "wrong"
    return "open"


def shapes_of(value: Any) -> Any:
    return [shapes_of(element) for element in value] if isinstance(value, list) else np.shape(value)


def judged(graph: Graph, results: list[Any]) -> str:
    rows = [verdict(graph.tensors[f"o{i}"].type, value) for i, value in enumerate(results)]
    worst = next(outcome for outcome in ("wrong", "open", "bounded", "exact") if outcome in rows)
    if worst == "wrong":
        said = " ".join(issue.what for issue in graph.issues if issue.kind == "runtime")
        shapes = [f"[{', '.join(map(str, np.shape(v)))}] in onnxruntime" for v in results if not isinstance(v, list)]
        return "stated" if any(shape in said for shape in shapes) else "wrong"
    return worst


def tried(name: str, each: int, seed: int) -> Tally:
    """Draw calls of one operator until `each` different ones ran, or drawing brings nothing new."""
    tally, dice, seen, idle = Tally(), Random(f"{seed}:{name}"), set(), 0
    began = time.monotonic()
    while sum(tally.counts.values()) < each and idle < 40 * each + 400:
        idle += 1
        trial = OPERATORS[name](dice)
        model, feeds = model_of(trial)
        key = str(trial)
        results = None if key in seen else ran(model, feeds)
        seen.add(key)
        if results is None:
            continue
        try:
            graph = graph_of(model, Path("/nonexistent"))
            outcome = judged(graph, results)
            types = [str(graph.tensors[f"o{i}"].type) for i in range(len(results))]
            example = f"{trial} -> {[shapes_of(v) for v in results]}, said {types}"
        except ModelError as error:
            outcome, example = "refused", f"{trial}: {error}"
        except Exception:  # a traceback is a finding, not the end of the grid
            outcome, example = "raised", f"{trial}: {traceback.format_exc(limit=-3)}"
        tally.add(outcome, example)
    tally.seconds = time.monotonic() - began
    return tally


def _child(name: str, each: int, seed: int, pipe: Any) -> None:
    tally = tried(name, each, seed)
    pipe.send((dict(tally.counts), tally.examples, tally.seconds))


def apart(name: str, each: int, seed: int) -> Tally:
    """The same in a process of its own."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(name, each, seed, there))
    process.start()
    there.close()
    try:
        counts, examples, seconds = here.recv()
    except EOFError:
        return Tally(Counter({"ended": 1}), {"ended": [f"{name}: the process ended"]})
    finally:
        process.join()
    return Tally(Counter(counts), examples, seconds)


def _spelled(counts: Counter[str]) -> str:
    return ", ".join(f"{outcome} {count}" for outcome, count in sorted(counts.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--each", type=int, default=400, help="different calls of each operator")
    parser.add_argument("--only", default="", help="operators, by comma")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where to write counts and examples")
    asked = parser.parse_args()
    names = asked.only.split(",") if asked.only else list(OPERATORS)
    tallies = {}
    for name in names:
        tallies[name] = tally = apart(name, asked.each, asked.seed)
        print(f"{name:36} {_spelled(tally.counts)} ({tally.seconds:.0f} s)", flush=True)
        for outcome, examples in tally.examples.items():
            if outcome not in GOOD:
                print(*(f"    {outcome}: {example}" for example in examples[:3]), sep="\n")
    total = sum((tally.counts for tally in tallies.values()), Counter[str]())
    print(f"{len(names)} operators, {sum(total.values())} calls: {_spelled(total)}")
    if asked.json:
        rows = {name: {"counts": dict(t.counts), "examples": t.examples} for name, t in tallies.items()}
        asked.json.write_text(json.dumps({"seed": asked.seed, "total": dict(total), "operators": rows}, indent=1))
    return 1 if any(total[outcome] for outcome in ("wrong", "raised", "ended")) else 0


if __name__ == "__main__":
    sys.exit(main())
