"""GraphProto -> the tensors that it holds, the bytes of each, and whether external ones are on disk."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from graphmem.ir.types import BITS, nbytes_of

if TYPE_CHECKING:
    import onnx


def held_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Initializers and tensor attributes, those of bodies included: all that may lie outside the file."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("g"):
                yield from held_tensors(attribute.g)
            for body in attribute.graphs:
                yield from held_tensors(body)


def tensor_nbytes(tensor: onnx.TensorProto) -> int:
    """Bytes of the values, also of those that are not there; strings count as none, they are never left out."""
    name = tensor.DataType.Name(tensor.data_type).lower()
    dtype = {"float": "float32", "double": "float64"}.get(name, name)
    return nbytes_of(dtype, prod(tensor.dims)) if dtype in BITS else 0


def is_on_disk(tensor: onnx.TensorProto, size: int, folder: Path) -> bool:
    """True when the external file of the tensor, beside the model, is long enough to hold its `size` bytes."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path = folder / entries.get("location", "")
    return bool(path.is_file() and path.stat().st_size >= int(entries.get("offset", "0")) + size)
