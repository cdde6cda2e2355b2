"""Path -> ModelProto: parse the file without its external weights, inline its functions."""

from __future__ import annotations

import re
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from graphmem.ir.errors import ModelError
from graphmem.reader.functions import inlined
from graphmem.reader.light import without_tables

TEXT_SUFFIXES = (".textproto", ".txtpb", ".pbtxt", ".prototxt", ".onnxtxt", ".onnx.txt", ".txt")


# A protobuf message is at most 2 GiB.
MAX_FILE = 2**31 - 1
# Brackets open at once in a text; protobuf's own limit for binary files is 100 messages.
MAX_DEPTH = 300


def light(path: Path) -> onnx.ModelProto:
    """The same without what no shape depends on: for reading, not for running or writing."""
    data = file_bytes(path)
    return inlined(message(path, data if path.name.endswith(TEXT_SUFFIXES) else without_tables(data)))


def load(path: Path) -> onnx.ModelProto:
    """The model in `path`, functions inlined; ModelError says in one line what is wrong with the file.

    External data is never opened: its initializers keep dims and dtype and have no bytes.
    """
    return inlined(parsed(path))


def parsed(path: Path) -> onnx.ModelProto:
    """The protobuf message in `path`; by suffix a protobuf text or the ONNX text syntax, else binary."""
    return message(path, file_bytes(path))


def file_bytes(path: Path) -> bytes:
    """What the file holds; ModelError where there is none, or more than a protobuf message can be."""
    if not path.exists():
        raise ModelError(f"'{path}' does not exist; give the path of an .onnx file")
    if path.is_dir():
        raise ModelError(f"'{path}' is a directory; give the .onnx file inside it")
    if not path.is_file():
        raise ModelError(f"'{path}' is a device or a pipe; give the path of an .onnx file")
    if path.stat().st_size > MAX_FILE:
        raise ModelError(
            f"'{path}' is larger than 2 GiB, more than an ONNX file can be; store its weights as external data"
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"'{path}' cannot be read: {error.strerror or error}") from error


def message(path: Path, data: bytes) -> onnx.ModelProto:
    """The protobuf message that these bytes of the file at `path` are."""
    if not data:
        raise ModelError(f"'{path}' is empty; export the model again")
    model = _parse_text(path, data) if path.name.endswith(TEXT_SUFFIXES) else _parse_binary(path, data)
    if not model.HasField("graph"):
        raise ModelError(f"'{path}' holds no ONNX graph; is it an ONNX model?")
    if any(not isinstance(opset.domain, str) or not 0 < opset.version < 2**31 for opset in model.opset_import):
        raise ModelError(f"'{path}' names an opset that cannot be; export the model again")
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
    if _depth(text) > MAX_DEPTH:
        raise ModelError(f"'{path}' nests more than {MAX_DEPTH} brackets; no model is that deep")
    try:
        if text.lstrip().startswith("<"):
            return onnx.parser.parse_model(text)
        model = onnx.ModelProto()
        text_format.Parse(text, model)
        return model
    except (onnx.parser.ParseError, text_format.ParseError, RecursionError) as error:
        raise ModelError(f"'{path}' is not valid ONNX text: {' '.join(str(error).split())[:200]}") from error


# A text in quotes ends with the file at the latest: a search for an end that is not there would begin at every quote.
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|=>|([({\[<])|[)}\]>]', re.DOTALL)


def _depth(text: str) -> int:
    """The most brackets open at once, outside of quotes; the parsers recurse on each."""
    depth = most = 0
    for found in _BRACKET.finditer(text):
        if found.group(1):
            depth += 1
            most = max(most, depth)
        elif found.group()[0] in ")}]>":
            depth = max(0, depth - 1)
    return most
