"""ModelProto -> a file that ONNX Runtime can load, or a model with every weight inside, absent ones made up.

Absent weights get one sparse file, never larger than the weights themselves. Small ones are filled with seeded random
numbers, so that no optimization takes a scale for 0 or 1; large ones are holes, which read as zeros and take no disk.

Weights inside are read from the model's own files, or made up from a seed. Made-up weights keep values finite: matrices
are normal with the variance of one over their inputs, vectors lie around 1, which suits scales and variances alike, and
integers are 0, which is a valid index.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graphmem.ir.errors import ModelError
from graphmem.ir.types import BITS, Shape, packed_nbytes

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
    return packed_nbytes(dtype, prod(tensor.dims)) if dtype in BITS else 0


def is_on_disk(tensor: onnx.TensorProto, size: int, folder: Path) -> bool:
    """True when the external file of the tensor, beside the model, is long enough to hold its `size` bytes."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path = folder / entries.get("location", "")
    return bool(path.is_file() and path.stat().st_size >= int(entries.get("offset", "0")) + size)


SEEDED_BYTES = 1 << 16
FILLED = "weights.bin"
_FLOATS = {1: np.float32, 10: np.float16, 11: np.float64}  # TensorProto.DataType


@dataclass(frozen=True, slots=True)
class Runnable:
    """A model file, the folder of its weights, and how many bytes of weights were made up."""

    path: Path
    weights_folder: Path
    filled_bytes: int


def runnable(model: bytes, folder: Path, inputs: Mapping[str, Shape], scratch: Path) -> Runnable:
    """Write the model into `scratch`, its inputs having these shapes; `folder` is where its own weights may lie."""
    import onnx

    proto = onnx.ModelProto.FromString(model)
    for info in proto.graph.input:
        shape = inputs.get(info.name)
        if shape is not None:
            del info.type.tensor_type.shape.dim[:]
            for dim in shape:
                info.type.tensor_type.shape.dim.add().dim_value = dim
    held = [t for t in held_tensors(proto.graph) if t.data_location == onnx.TensorProto.EXTERNAL]
    sizes = [tensor_nbytes(t) for t in held]
    is_there = all(is_on_disk(t, size, folder) for t, size in zip(held, sizes, strict=True))
    if held and not is_there:
        _fill(held, sizes, scratch / FILLED)
    path = scratch / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return Runnable(path, folder if is_there else scratch, 0 if is_there else sum(sizes))


def weight_bytes(model: bytes) -> int:
    """Bytes of all weights, inside the file and outside."""
    import onnx

    return sum(tensor_nbytes(tensor) for tensor in held_tensors(onnx.ModelProto.FromString(model).graph))


def _fill(held: list[onnx.TensorProto], sizes: list[int], path: Path) -> None:
    generator = np.random.default_rng(0)
    offset = 0
    with path.open("wb") as file:
        for tensor, size in zip(held, sizes, strict=True):
            del tensor.external_data[:]
            for key, value in (("location", FILLED), ("offset", str(offset)), ("length", str(size))):
                tensor.external_data.add(key=key, value=value)
            dtype = _FLOATS.get(tensor.data_type)
            if dtype is not None and size <= SEEDED_BYTES:
                file.seek(offset)
                file.write((0.1 + 0.1 * generator.random(size // np.dtype(dtype).itemsize)).astype(dtype).tobytes())
            offset += size
        file.truncate(offset)


LARGEST = 1_900_000_000  # bytes of weights; a protobuf message ends at 2 GiB
FLOATS = {1: np.float32, 10: np.float16, 11: np.float64}  # TensorProto.DataType


def fill(model: onnx.ModelProto, folder: Path, seed: int) -> int:
    """Put every weight into `model`; the bytes that were made up. `folder` is where the external data may lie."""
    from onnx import external_data_helper

    total = filled = 0
    dice = np.random.default_rng(seed)
    for tensor in held_tensors(model.graph):
        size = tensor_nbytes(tensor)
        total += size
        if total > LARGEST:
            raise ModelError(f"the weights exceed {LARGEST} bytes, too many for one message; execute a smaller model")
        if tensor.data_location == tensor.EXTERNAL:
            if is_on_disk(tensor, size, folder):
                external_data_helper.load_external_data_for_tensor(tensor, str(folder))
                tensor.data_location = tensor.DEFAULT
                del tensor.external_data[:]
                continue
        elif not size or _has_values(tensor):
            continue
        _make_up(tensor, size, dice)
        filled += size
    return filled


def _has_values(tensor: onnx.TensorProto) -> bool:
    typed = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
    return bool(tensor.raw_data) or any(len(values) for values in typed)


def _make_up(tensor: onnx.TensorProto, size: int, dice: np.random.Generator) -> None:
    tensor.data_location = tensor.DEFAULT
    del tensor.external_data[:]
    dtype = FLOATS.get(tensor.data_type)
    if dtype is None:
        tensor.raw_data = bytes(size)
        return
    dims = tuple(tensor.dims)
    if len(dims) < 2:
        values = 0.5 + dice.random(prod(dims), dtype=np.float32)
    else:
        fan = max(dims[0], prod(dims[1:]), 1)
        values = dice.standard_normal(prod(dims), dtype=np.float32) / np.float32(fan) ** np.float32(0.5)
    tensor.raw_data = values.astype(dtype).tobytes()
