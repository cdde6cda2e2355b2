"""Path -> Analysis: the whole walk, and the public API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from graphmem.ir.analysis import Analysis
from graphmem.ir.errors import OptionError
from graphmem.ir.graph import Graph
from graphmem.ir.keywords import ReadingKeywords, asked, takes
from graphmem.ir.options import MEMORY_MODELS, ORDERS, RUN_PRECISIONS
from graphmem.ir.runtime import Advice, SessionOptions
from graphmem.passes.precision import in_precision
from graphmem.passes.pruning import pruned
from graphmem.reader.batch import read_as
from graphmem.schedule.inference_figures import Order, _inference, _parameters, inference, model_facts

if TYPE_CHECKING:
    from typing_extensions import Unpack

ONNXRUNTIME = "onnxruntime"


@takes(ReadingKeywords)
def analyze(
    path: str | Path,
    dims: Mapping[str, int] | None = None,
    *,
    memory_model: str = "views",
    order: str = "file",
    session: SessionOptions | None = None,
    precision: str = "fp32",
    prune: float = 0.0,
    **reading: Unpack[ReadingKeywords],
) -> Analysis:
    """The memory of one forward run of the ONNX file at `path`, found without running it.

    Args:
        path: an .onnx file (or its protobuf text or ONNX text form); external weights are not read and may be absent.
        dims: numbers for free dimensions, by symbol ("seq") or by input axis ("input_ids:1").
        memory_model: "plain", "views" or "inplace" (docs/what-the-numbers-mean.md), or "onnxruntime" for what its CPU
            provider allocates (docs/onnxruntime.md; the only one that needs onnxruntime).
        order: "file", or "memory" for a reordering that lowers the peak; of "onnxruntime" always its own.
        session: the session options of "onnxruntime"; its own defaults when None.
        precision: one of RUN_PRECISIONS (fp16, bf16, int8, int4, fp8), what the model would need in it; fp32 for the
            types of the file. Not for "onnxruntime", which runs the file as it is.
        prune: share of the channels of every layer to take out where the graph allows. Not for "onnxruntime" either.
        reading: how to read the file where it does not say.

    Raises:
        ModelError: the file is not a readable, valid model.
        OptionError: an option fits neither the model nor the choices above.
    """
    _check(memory_model, order, session)
    if precision not in RUN_PRECISIONS:
        raise OptionError(f"precision '{precision}' is not one of {', '.join(RUN_PRECISIONS)}")
    if (precision != "fp32" or prune) and memory_model == ONNXRUNTIME:
        raise OptionError("onnxruntime runs the file as it is; precision and prune go with plain, views and inplace")
    how, _ = asked(ReadingKeywords, dims, reading)
    graph = pruned(read_as(path, how), prune)
    if precision != "fp32":
        other = in_precision(graph, precision)
        facts = replace(model_facts(other, Path(path).stem), parameters=sum(map(_parameters, graph.with_bodies)))
        return ShownAnalysis(facts, other, inference(other, memory_model, order))
    if memory_model == ONNXRUNTIME:
        found = _onnxruntime(Path(path), graph, session or SessionOptions())
        if how.batch is None or how.batch < 2:
            return found
        half = _onnxruntime(Path(path), read_as(path, replace(how, batch=how.batch // 2)), session or SessionOptions())
        return with_batch_advice(found, half, how.batch)
    return ShownAnalysis(model_facts(graph, Path(path).stem), graph, inference(graph, memory_model, order))


@dataclass(frozen=True, slots=True)
class ShownAnalysis(Analysis):
    """An Analysis that a notebook shows as its timeline; here because ir/ knows no reports."""

    def _repr_html_(self) -> str:
        from graphmem.memory.profile import inference_profile
        from graphmem.report.page.notebook import analysis_html

        return analysis_html(self, inference_profile(self))


def _check(memory_model: str, order: str, session: SessionOptions | None) -> None:
    """OptionError for what is no choice, or for choices that contradict each other."""
    models = (*MEMORY_MODELS, ONNXRUNTIME)
    if memory_model not in models:
        raise OptionError(f"memory model '{memory_model}' is not one of {', '.join(models)}")
    if order not in (*ORDERS, ONNXRUNTIME):
        raise OptionError(f"order '{order}' is not one of {', '.join((*ORDERS, ONNXRUNTIME))}")
    if order == ONNXRUNTIME and memory_model != ONNXRUNTIME:
        raise OptionError("order 'onnxruntime' goes with memory model 'onnxruntime' only")
    if order == "memory" and memory_model == ONNXRUNTIME:
        raise OptionError("onnxruntime chooses its own order; for a reordered model use graphmem optimize")
    if session is not None and memory_model != ONNXRUNTIME:
        raise OptionError("session options go with memory model 'onnxruntime' only")


def with_batch_advice(found: Analysis, half: Analysis, batch: int) -> Analysis:
    """`found` with the advice to run the batch in parts, if `half`, the same model with half the batch, needs less."""
    now, then = found.inference.onnxruntime, half.inference.onnxruntime
    assert now is not None
    assert then is not None
    saving = max(now.first_run_peak, now.later_peak) - max(then.first_run_peak, then.later_peak)
    if saving <= 0:
        return found
    words = f"batch {batch} run as {-(-batch // (batch // 2))} batches of {batch // 2}"
    code = f"for part in numpy.array_split(x, {-(-batch // (batch // 2))}): session.run(None, {{name: part}})"
    row = Advice(words, code, then.first_run_peak, then.later_peak, saving)
    rows = tuple(sorted((*now.advice, row), key=lambda a: (-a.saving, len(a.code), a.change)))
    return replace(found, inference=replace(found.inference, onnxruntime=replace(now, advice=rows)))


def _onnxruntime(path: Path, graph: Graph, session: SessionOptions) -> Analysis:
    """The analysis of the graph that ONNX Runtime makes of the model, under its own memory planner."""
    from graphmem.ort.figures import advice, predicted
    from graphmem.ort.graph import Source, runtime_graph

    runtime = runtime_graph(Source.of(path, graph), session)
    found = predicted(runtime, session)
    schedule = found.plan.schedule
    run = Order(found.plan.nodes, schedule, found.lifetimes, found.timeline)
    floor = max((buffer.nbytes for buffer in schedule.buffers), default=0)  # in any order each must be there once
    made = _inference(runtime.graph, run, ONNXRUNTIME, ONNXRUNTIME, floor)
    memory = replace(found.memory, advice=advice(runtime, found.memory))
    executed = replace(runtime.graph, issues=runtime.issues)
    return ShownAnalysis(model_facts(graph, path.stem), executed, replace(made, onnxruntime=memory))
