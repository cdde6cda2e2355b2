"""ModelProto -> a file that ONNX Runtime can load: input dimensions bound, absent weights made up.

Absent weights get one sparse file, never larger than the weights themselves. Small ones are filled with seeded random
numbers, so that no optimization takes a scale for 0 or 1; large ones are holes, which read as zeros and take no disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graphmem.ir.types import Shape
from graphmem.measure.weights import held_tensors, is_on_disk, tensor_nbytes

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


def _fill(held: list[onnx.TensorProto], sizes: list[int], path: Path) -> None:  # type: ignore[name-defined]  # noqa: F821
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
