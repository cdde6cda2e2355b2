"""Path -> ModelProto: parse the file without its external weights, inline its functions."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from graphmem.ir.errors import ModelError

TEXT_SUFFIXES = (".textproto", ".txtpb", ".pbtxt", ".prototxt", ".onnxtxt", ".onnx.txt", ".txt")


def load(path: Path) -> onnx.ModelProto:
    """The model in `path`, functions inlined; ModelError says in one line what is wrong with the file.

    External data is never opened: its initializers keep dims and dtype and have no bytes.
    """
    return inlined(parsed(path))


def parsed(path: Path) -> onnx.ModelProto:
    """The protobuf message in `path`; by suffix a protobuf text or the ONNX text syntax, else binary."""
    if not path.exists():
        raise ModelError(f"'{path}' does not exist; give the path of an .onnx file")
    if path.is_dir():
        raise ModelError(f"'{path}' is a directory; give the .onnx file inside it")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"'{path}' cannot be read: {error.strerror or error}") from error
    if not data:
        raise ModelError(f"'{path}' is empty; export the model again")
    model = _parse_text(path, data) if path.name.endswith(TEXT_SUFFIXES) else _parse_binary(path, data)
    if not model.HasField("graph"):
        raise ModelError(f"'{path}' holds no ONNX graph; is it an ONNX model?")
    if not model.opset_import:
        raise ModelError(f"'{path}' names no opset, so its operators have no meaning; export the model again")
    return model


def _parse_binary(path: Path, data: bytes) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ModelError(
            f"'{path}' is not a readable ONNX file (truncated, or another format); export or copy it again"
        ) from error
    return model


def _parse_text(path: Path, data: bytes) -> onnx.ModelProto:
    import onnx.parser
    from google.protobuf import text_format

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"'{path}' is not UTF-8 text, byte {error.start}") from error
    try:
        if text.lstrip().startswith("<"):
            return onnx.parser.parse_model(text)
        model = onnx.ModelProto()
        text_format.Parse(text, model)
        return model
    except (onnx.parser.ParseError, text_format.ParseError) as error:
        raise ModelError(f"'{path}' is not valid ONNX text: {' '.join(str(error).split())[:200]}") from error


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model without local functions: every call replaced by its body."""
    if not model.functions:
        return model
    import onnx.inliner

    _check_calls_end(model)
    try:
        return onnx.inliner.inline_local_functions(model)
    except Exception as error:  # the C++ inliner raises RuntimeError and ValidationError of several modules
        raise ModelError(f"the model's local functions cannot be inlined: {' '.join(str(error).split())}") from error


def _check_calls_end(model: onnx.ModelProto) -> None:
    """ModelError when a local function calls itself, directly or through others (the inliner would not return)."""
    calls = {(f.domain, f.name): _called(f.node) for f in model.functions}
    state: dict[tuple[str, str], bool] = {}  # False while on the stack, True when done
    for root, callees in calls.items():
        stack = [(root, iter(callees))] if root not in state else []
        state.setdefault(root, False)
        while stack:
            function, rest = stack[-1]
            for callee in rest:
                if callee not in calls or state.get(callee):
                    continue
                if callee in state:
                    raise ModelError(f"local function '{callee[1]}' calls itself; a model's functions must not recurse")
                state[callee] = False
                stack.append((callee, iter(calls[callee])))
                break
            else:
                state[function] = True
                stack.pop()


def _called(nodes: onnx.NodeProto) -> list[tuple[str, str]]:
    found = []
    pending = list(nodes)
    while pending:
        node = pending.pop()
        found.append((node.domain, node.op_type))
        for attribute in node.attribute:
            pending.extend(attribute.g.node)
            for graph in attribute.graphs:
                pending.extend(graph.node)
    return found
