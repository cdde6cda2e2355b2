"""Model file -> a reordered copy and session options under which ONNX Runtime needs less memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from graphmem.ir.errors import ModelError, OptionError
from graphmem.ir.options import ReadingOptions
from graphmem.ir.runtime import OnnxRuntimeMemory, SessionOptions
from graphmem.measure.rewrite import Comparison, compared, has_external_weights, reordered
from graphmem.memory.reorder import least_peak_order
from graphmem.ort.figures import CHANGES, predicted, worst
from graphmem.ort.graph import Source, runtime_graph
from graphmem.reader.batch import read_as
from graphmem.reader.load import load
from graphmem.schedule.inference import inference_schedule, preceding_steps

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from graphmem.ir.keywords import ReadingKeywords


@dataclass(frozen=True, slots=True)
class Optimized:
    """What was written. `now` and `then` are the predictions before and after; `check` is None if it could not run."""

    path: Path
    is_reordered: bool
    code: str
    now: OnnxRuntimeMemory
    then: OnnxRuntimeMemory
    check: Comparison | None
    why_unchecked: str = ""


def optimize(
    path: str | Path,
    output: str | Path,
    dims: Mapping[str, int] | None = None,
    *,
    session: SessionOptions | None = None,
    **reading: Unpack[ReadingKeywords],
) -> Optimized:
    """Write to `output` whichever of the file's order and a least-peak order is predicted to need less.

    Raises OptionError when `output` is the model itself, or would lose sight of the model's external weights.
    """
    path, output = Path(path), Path(output)
    asked = session or SessionOptions()
    model: bytes = load(path).SerializeToString()
    _check(path, output, model)
    graph = read_as(path, ReadingOptions(dims=dims, **reading))
    found = least_peak_order(inference_schedule(graph), preceding_steps(graph))
    steps = graph.steps
    other = reordered(model, [name for i in found.steps for name in steps[i].writes])
    source = Source.of(path, graph)
    now, options, then = _best(source, asked)
    with TemporaryDirectory(prefix="graphmem-") as scratch:
        copy = Path(scratch) / "reordered.onnx"
        copy.write_bytes(other)
        _, other_options, other_then = _best(replace(source, path=copy), asked)
    is_reordered = worst(other_then) < worst(then)
    if is_reordered:
        options, then = other_options, other_then
    written = other if is_reordered else model
    check, why = _compared(model, written, source, asked, options)
    output.write_bytes(written)
    return Optimized(output, is_reordered, _code(asked, options), now, then, check, why)


def _check(path: Path, output: Path, model: bytes) -> None:
    if output.resolve() == path.resolve():
        raise OptionError(f"'{output}' is the model itself, which is never changed; give another file")
    if output.parent.resolve() != path.parent.resolve() and has_external_weights(model):
        raise OptionError(f"the weights lie beside '{path}'; write the copy to the same folder")


def _variants(asked: SessionOptions) -> Iterator[SessionOptions]:
    yield asked
    for change in CHANGES:
        yield change.applied(asked)


def _best(source: Source, asked: SessionOptions) -> tuple[OnnxRuntimeMemory, SessionOptions, OnnxRuntimeMemory]:
    """(with the options asked for, the best options, with those)."""
    runtime = runtime_graph(source, asked)
    found = [predicted(runtime, options).memory for options in dict.fromkeys(_variants(asked))]
    best = min(found, key=worst)
    return found[0], best.options, best


def _compared(
    model: bytes, written: bytes, source: Source, asked: SessionOptions, options: SessionOptions
) -> tuple[Comparison | None, str]:
    with TemporaryDirectory(prefix="graphmem-") as scratch:
        try:
            sides = [asked, options]
            return compared([model, written], source.folder, source.inputs, sides, Path(scratch)), ""
        except ModelError as error:
            return None, str(error)


def _code(asked: SessionOptions, options: SessionOptions) -> str:
    """Python that makes a session with these options."""
    lines = ["import onnxruntime", "options = onnxruntime.SessionOptions()"]
    if options.execution_order == "priority":
        lines.append("options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED")
    lines += [
        f"options.{name} = False"
        for name, value in (
            ("enable_mem_reuse", options.reuse),
            ("enable_mem_pattern", options.pattern),
            ("enable_cpu_mem_arena", options.arena),
        )
        if not value
    ]
    if asked.optimization != "all":
        level = {"off": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED"}
        lines.append(
            f"options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.{level[asked.optimization]}"
        )
    return "\n".join(lines)
