"""Initializers and Constant nodes -> types, and the values of small ones; large payloads stay where they are."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import onnx
import onnx.numpy_helper
from numpy.typing import NDArray

from graphmem.ir.errors import ModelError
from graphmem.ir.types import TensorType, Type, packed_nbytes
from graphmem.reader.order import described
from graphmem.reader.protos import checked, dtype_of
from graphmem.reader.validity import check_attributes
from graphmem.reader.values import Value

# A value is kept, and computed with, up to this many elements: shapes are far smaller, weights far larger.
MAX_INTEGERS = 65_536
MAX_FLOATS = 1_024
# Decimal digits of an offset or a length: below 2^63.
MAX_DIGITS = 19
_PAYLOADS = frozenset(
    {"raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data"}
)


def is_small(dtype: str, elements: int) -> bool:
    """True when a value of that size may be kept and computed with."""
    return elements <= (MAX_INTEGERS if "int" in dtype or dtype == "bool" else MAX_FLOATS)


def initializer_type(proto: onnx.TensorProto) -> TensorType:
    """Type of an initializer; ModelError when its payload contradicts its dimensions."""
    where = f"initializer '{proto.name}'"
    stated = checked(dtype_of(proto.data_type, where), tuple(proto.dims), where)
    if proto.data_location == onnx.TensorProto.EXTERNAL:
        if any(field.name in _PAYLOADS for field, _ in proto.ListFields()):
            raise ModelError(f"{where} holds its data and points to external data as well; the file is damaged")
        _check_external(proto, stated)
    else:
        _check_payload(proto, stated, where)
    return stated


def _check_payload(proto: onnx.TensorProto, stated: TensorType, where: str) -> None:
    if stated.dtype == "string":
        held, needed, unit = len(proto.string_data), stated.elements, "strings"
    elif proto.HasField("raw_data"):
        held, needed, unit = len(proto.raw_data), stated.nbytes, "bytes"
    else:
        held, needed = _typed_payload(proto, stated)
        unit = "elements"
    if held != needed:
        raise ModelError(f"{where} holds {held} {unit} but {stated} needs {needed}; the file is damaged")


def _typed_payload(proto: onnx.TensorProto, stated: TensorType) -> tuple[int, int]:
    """Elements held in the typed fields, and needed (onnx.proto: sub-byte types pack into int32_data bytes)."""
    held = sum(
        len(values)
        for values in (proto.float_data, proto.int32_data, proto.int64_data, proto.double_data, proto.uint64_data)
    )
    if stated.dtype.startswith("complex"):
        return held, 2 * stated.elements
    if stated.dtype in ("int4", "uint4", "float4e2m1", "int2", "uint2"):
        return held, packed_nbytes(stated.dtype, stated.elements)
    return held, stated.elements


def _external(proto: onnx.TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in proto.external_data}


def _check_external(proto: onnx.TensorProto, stated: TensorType) -> None:
    entries = _external(proto)
    location = entries.get("location", "")
    posix, windows = PurePosixPath(location), PureWindowsPath(location)
    if posix.is_absolute() or windows.is_absolute() or windows.drive or ".." in (*posix.parts, *windows.parts):
        raise ModelError(
            f"initializer '{proto.name}' points to '{location}', outside the model's folder; "
            "external data must lie beside the model"
        )
    length = entries.get("length")
    if length is not None and stated.has_size and length.lstrip("0") != str(stated.nbytes).lstrip("0"):
        raise ModelError(
            f"initializer '{proto.name}' has {length} bytes of external data but {stated} needs {stated.nbytes}"
        )


def initializer_value(proto: onnx.TensorProto, stated: TensorType, folder: Path) -> NDArray[np.generic] | None:
    """Value of a small initializer, or None when it is large, or external and not readable in `folder`.

    External payloads are read for integers only (shapes may be stored so), never for weights.
    """
    if not is_small(stated.dtype, stated.elements):
        return None
    if proto.data_location == onnx.TensorProto.EXTERNAL:
        return _external_value(proto, stated, folder) if "int" in stated.dtype else None
    try:
        return onnx.numpy_helper.to_array(proto)
    except ValueError:  # strings that are no text; no elements in a shape that numpy cannot hold
        return None


def shape_files(graph: onnx.GraphProto) -> frozenset[str]:
    """Locations of the external data that are read with the graph: those of small integers, which may be shapes."""
    found: set[str] = set()
    pending = [graph]
    while pending:
        here = pending.pop()
        for proto in here.initializer:
            if proto.data_location == onnx.TensorProto.EXTERNAL:
                type_ = initializer_type(proto)
                if "int" in type_.dtype and is_small(type_.dtype, type_.elements):
                    found.add(_external(proto).get("location", ""))
        for node in here.node:
            for attribute in node.attribute:
                pending += [attribute.g, *attribute.graphs] if attribute.HasField("g") else attribute.graphs
    return frozenset(found)


def _external_value(proto: onnx.TensorProto, stated: TensorType, folder: Path) -> NDArray[np.generic] | None:
    entries = _external(proto)
    offset = entries.get("offset", "0")
    if not (offset.isascii() and offset.isdecimal() and len(offset) < MAX_DIGITS):
        return None
    try:
        path = (folder / entries.get("location", "")).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            return None
        with path.open("rb") as file:
            file.seek(int(offset))
            data = file.read(stated.nbytes)
    except (OSError, ValueError, RuntimeError):  # no such file, a name that is none, a loop of links
        return None
    if len(data) != stated.nbytes:
        return None
    inline = onnx.TensorProto(data_type=proto.data_type, dims=proto.dims, raw_data=data)
    return onnx.numpy_helper.to_array(inline)


def constant_of(proto: onnx.NodeProto) -> tuple[list[Type], list[Value | None]]:
    """Type and, where small, value of a Constant node."""
    check_attributes(proto)
    attribute = next((a for a in proto.attribute if a.name.startswith(("value", "sparse_value"))), None)
    if attribute is None or len(proto.output) != 1:
        raise ModelError(f"{described(proto)} has no value, or not one output")
    if attribute.name == "value":
        type_ = initializer_type(attribute.t)
        array = initializer_value(attribute.t, type_, Path())
        return [type_], [None if array is None else Value.exactly(array)]
    if attribute.name == "sparse_value":
        sparse = attribute.sparse_tensor
        where = described(proto)
        return [checked(dtype_of(sparse.values.data_type, where), tuple(sparse.dims), where)], [None]
    content = onnx.helper.get_attribute_value(attribute)
    if attribute.name.startswith("value_string"):
        return [TensorType("string", (len(content),) if attribute.name.endswith("s") else ())], [None]
    made = np.array(content, dtype=np.float32 if "float" in attribute.name else np.int64)
    return [TensorType(made.dtype.name, made.shape)], [Value.exactly(made)]
