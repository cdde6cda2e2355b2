"""ONNX file -> Graph: every tensor typed, nothing executed, no weight loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import onnx

from graphmem.ir.errors import ModelError
from graphmem.ir.graph import Graph, Issue
from graphmem.ir.options import Given
from graphmem.ir.types import TensorType
from graphmem.reader.dims import Bindings, bindings, bound_inputs
from graphmem.reader.held import UnfitError
from graphmem.reader.infer import NodeTyper
from graphmem.reader.load import light
from graphmem.reader.stated import Stated
from graphmem.reader.validity import check_graph_text
from graphmem.reader.walk import Walk

__all__ = ["Bindings", "graph_of", "read"]


def read(
    path: str | Path,
    dims: Mapping[str, int] | None = None,
    batch: int | None = None,
    is_strict: bool = False,
    trips: Mapping[str, int] | None = None,
    shapes: Mapping[str, TensorType] | None = None,
    is_onnxruntime: bool = False,
    branches: Mapping[str, str] | None = None,
    inputs: Mapping[str, Given] | None = None,
) -> Graph:
    """The graph in the file at `path`, with free dimensions bound by `dims` ("name" or "input:axis") and `batch`.

    A dimension that stays free is taken as 1 and noted, or refused when `is_strict`. `trips` says how often loops run,
    by node or output name, and `shapes` the types of tensors, where the file does not. With `is_onnxruntime` sizes are
    those of its kernels also where the specification has its own. `branches` says which branch of an If runs ("then" or
    "else", by node or output name), `inputs` the values of small integer or boolean inputs.
    Raises ModelError for a file that is not a valid model, OptionError for a binding that does not fit it.
    """
    return graph_of(
        light(Path(path)), Path(path).parent, dims, batch, is_strict, trips, shapes, is_onnxruntime, branches, inputs
    )


def graph_of(
    model: onnx.ModelProto,
    folder: Path,
    dims: Mapping[str, int] | None = None,
    batch: int | None = None,
    is_strict: bool = False,
    trips: Mapping[str, int] | None = None,
    shapes: Mapping[str, TensorType] | None = None,
    is_onnxruntime: bool = False,
    branches: Mapping[str, str] | None = None,
    inputs: Mapping[str, Given] | None = None,
) -> Graph:
    """The same of a model without local functions, whose external data lie in `folder`."""
    check_graph_text(model.graph)
    held = {initializer.name for initializer in model.graph.initializer}
    held |= {sparse.values.name for sparse in model.graph.sparse_initializer}
    infos = [info for info in model.graph.input if info.name not in held]
    given = bindings(dims or {}, batch, [info.name for info in infos], is_strict)
    bound = bound_inputs(infos, given)
    opsets = {"" if o.domain == "ai.onnx" else o.domain: o.version for o in model.opset_import}
    walk = Walk(
        typer=NodeTyper(opsets, model.ir_version, is_onnxruntime),
        folder=folder,
        symbols=bound.symbols,
        trusts_value_info=not given.overrides_file,
        issues=list(bound.issues),
        stated=Stated(trips or {}, branches or {}, shapes or {}, inputs or {}),
        inputs={info.name: info for info in infos},
    )
    try:
        graph = walk.graph(model.graph, bound.types)
    except UnfitError as error:
        raise _with_assumptions(error, bound.issues) from error
    walk.stated.check()
    return graph


def _with_assumptions(error: UnfitError, issues: Iterable[Issue]) -> ModelError:
    """The same error, with the free dimensions that were taken as 1: at another size the model may well run."""
    free = {issue.what.split("'")[1]: None for issue in issues if issue.kind == "free-dimension"}
    if not free:
        return error
    named, options = ", ".join(f"'{name}'" for name in free), " ".join(f"--dim {name}=N" for name in free)
    return ModelError(
        f"{error}; {named} {'was' if len(free) == 1 else 'were'} free and taken as 1: bind with {options}"
    )
