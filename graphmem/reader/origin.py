"""NodeProto -> Origin: module scope, class and source line; GraphProto -> what else exporters say or do to weights.

The dynamo exporter writes metadata_props (torch 2.13, torch/onnx/_internal/exporter): `pkg.torch.onnx.name_scopes` and
`.class_hierarchy` are Python lists as text whose last element is the call itself, `.stack_trace` is a traceback. The
TorchScript exporter writes none of it, but names nodes by their path: "/encoder/encoder.layer.0/attention/MatMul_1".
Both fold the transpose of a tied weight into a second copy (`tied_weights`).
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import onnx

from graphmem.ir.graph import Frame, Origin

_FRAME = re.compile(r'File "([^"]+)", line (\d+)(?:, in (\S+)(?:\n +(?!File ")(\S.*))?)?')
_HELD = re.compile(r"^\w+: (PARAMETER|BUFFER) target='([^']+)'", re.MULTILINE)
_NOT_USER = re.compile(r"(^|[/\\])torch[/\\]|^<")
_NO_MODULE = "_empty_nn_module_stack_from_metadata_hook"
_NO_ORIGIN = Origin()
# A list of modules is far shorter; a parser takes a hundred times the length of its text.
MAX_TEXT = 100_000


def origin_of(node: onnx.NodeProto) -> Origin:
    """Where the node comes from; empty fields where the exporter is silent."""
    if node.metadata_props:
        entries = {str(entry.key): str(entry.value) for entry in node.metadata_props}
        scopes = _listed(entries.get("pkg.torch.onnx.name_scopes", ""))
        classes = _listed(entries.get("pkg.torch.onnx.class_hierarchy", ""))
        frames = _frames(entries.get("pkg.torch.onnx.stack_trace", ""))
        source = _innermost(frames)
        call = entries.get("pkg.torch.onnx.fx_node", "")
        rewrites = entries.get("pkg.onnxscript.rewriter.rule_name", "")
        if scopes or classes or source or call or rewrites:
            if _NO_MODULE in scopes:  # what the exporter's own passes insert belongs to no module
                scopes = classes = ()
            scope = scopes[-2] if len(scopes) > 1 else ""
            module = classes[-2] if len(classes) > 1 else ""
            return Origin(scope, module, source, call, rewrites, scopes[1:-1], frames)
    if node.name.startswith("/"):
        return Origin(scope=_scope_of_path(node.name.rpartition("/")[0]))
    return _NO_ORIGIN


def signature_of(graph: onnx.GraphProto) -> dict[str, str]:
    """Parameters and buffers of the exported program, in its order, also those that the optimizer folded away."""
    texts = [str(p.value) for p in graph.metadata_props if p.key == "pkg.torch.export.ExportedProgram.graph_signature"]
    return {name: role.lower() for text in texts for role, name in _HELD.findall(text)}


@lru_cache(maxsize=1 << 15)  # nodes of a module share their scopes, and a file may be read again at another batch
def _listed(text: str) -> tuple[str, ...]:
    if not text.startswith("[") or len(text) > MAX_TEXT:
        return ()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python's own on strange escapes
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return ()
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


@lru_cache(maxsize=4096)
def _frames(trace: str) -> tuple[Frame, ...]:
    """The functions of a traceback; "" where it does not show the text of the line."""
    return tuple(Frame(file, int(line), name, text.strip()) for file, line, name, text in _FRAME.findall(trace))


def _innermost(frames: Sequence[Frame]) -> str:
    """The last line of the user's own code: not PyTorch's, and not of code that PyTorch generated."""
    lines = [frame for frame in frames if not _NOT_USER.search(frame.file)]
    return f"{lines[-1].file}:{lines[-1].line}" if lines else ""


@lru_cache(maxsize=4096)
def _scope_of_path(path: str) -> str:
    """Module path of "/layer1/layer1.0/conv1", "layer1.0.conv1": a part that repeats the one before extends it."""
    parts: list[str] = []
    for part in path.split("/"):
        if parts and part.startswith(parts[-1] + "."):
            parts[-1] = part
        elif part:
            parts.append(part)
    return ".".join(parts)


_EMBEDDED = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


def tied_weights(graph: onnx.GraphProto) -> dict[str, str]:
    """Matrix of a product -> the embedding table whose transpose it is, where the file holds the numbers of both.

    The first and the last row decide: two tables of random numbers do not agree in them.
    """
    held = {t.name: t for t in graph.initializer if len(t.dims) == 2 and t.data_type in _EMBEDDED and t.raw_data}
    tables: dict[object, str] = {}  # ends of a table -> the first table with them
    for name in sorted(held.keys() & _read(graph, "Gather", 0)):
        ends = _ends(held[name], is_turned=False)
        if ends is not None:
            tables.setdefault(ends, name)
    found = {name: tables.get(_ends(held[name], is_turned=True)) for name in held.keys() & _read(graph, "MatMul", 1)}
    return {name: found_table for name, found_table in found.items() if found_table is not None}


def _read(graph: onnx.GraphProto, op_type: str, position: int) -> set[str]:
    """What nodes of ONNX's own operator of that name read at that position."""
    nodes = (node for node in graph.node if node.op_type == op_type and node.domain in ("", "ai.onnx"))
    return {node.input[position] for node in nodes if len(node.input) > position}


def _ends(tensor: onnx.TensorProto, is_turned: bool) -> object | None:
    """Type, shape, first and last row of a table, or of the table that a matrix is the transpose of.

    None where a row tells nothing.
    """
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    rows = np.frombuffer(tensor.raw_data, dtype).reshape(tuple(tensor.dims))
    rows = rows.T if is_turned else rows
    if min(rows.shape) < 2 or not all(np.any(row != row[0]) for row in (rows[0], rows[-1])):
        return None
    return tensor.data_type, rows.shape, rows[0].tobytes(), rows[-1].tobytes()
