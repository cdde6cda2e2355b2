"""ModelProto -> the same with every weight inside: read from its own files, or made up from a seed.

Made-up weights keep values finite: matrices are normal with the variance of one over their inputs, vectors lie around
1, which suits scales and variances alike, and integers are 0, which is a valid index.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graphmem.ir.errors import ModelError
from graphmem.measure.weights import held_tensors, is_on_disk, tensor_nbytes

if TYPE_CHECKING:
    import onnx

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
