"""Resize and Upsample -> the sizes that runtimes compute: input times scale in float32, where ONNX multiplies exactly.

320 x 0.7 is 224 in float32 and 223.99999 before rounding; onnxruntime and PyTorch make 224 of it, ONNX's inference and
reference evaluator 223. Also where a scale was computed as size / input: the size comes out again.
Source: onnxruntime/core/providers/cpu/tensor/upsamplebase.h (ComputeOutputShape, AdjustOutputSizeAsPolicy).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphmem.ir.types import Shape, TensorType, Type
from graphmem.reader.rules.call import Call, OpenError, Table
from graphmem.reader.values import Array

# Integers up to here are float32 numbers; of a larger input the specification's product is taken.
EXACT_IN_FLOAT = 2**24


def scaled(n: int, scale: float) -> int:
    """`n` elements by a scale as float32 holds it."""
    factor = np.float32(scale)
    if not np.isfinite(factor) or factor <= 0 or n * float(factor) >= 2**62:
        raise OpenError("scale")
    if n > EXACT_IN_FLOAT:
        return int(n * float(factor))
    return int(np.float32(n) * factor)


def by_scales(shape: Shape, scales: Sequence[float], axes: Sequence[int]) -> Shape:
    """The shape with those axes scaled."""
    if len(scales) != len(axes):
        raise OpenError("scales")
    sizes = list(shape)
    for axis, scale in zip(axes, scales, strict=True):
        sizes[axis] = scaled(shape[axis], scale)
    return tuple(sizes)


def _axes(call: Call, rank: int) -> list[int]:
    axes = [axis if axis >= 0 else axis + rank for axis in call.ints("axes", ()) or range(rank)]
    if any(not 0 <= axis < rank for axis in axes):
        raise OpenError("axes")
    return axes


def _resize(call: Call) -> list[Type]:
    """Inputs: X, scales (opset 10); X, roi, scales, sizes (since 11)."""
    x = call.tensor(0)
    at = 1 if call.opset < 11 else 2
    axes = _axes(call, len(x.shape))
    if call.opset >= 11 and call.has(3) and call.shape(3) != (0,):
        return [TensorType(x.dtype, _by_sizes(call, x.shape, axes))]
    return [TensorType(x.dtype, by_scales(x.shape, _floats(call.array(at)), axes))]


def _by_sizes(call: Call, shape: Shape, axes: Sequence[int]) -> Shape:
    """The sizes given, or with a policy those that keep the proportions of all axes given, in float32."""
    wanted = [int(n) for n in call.array(3).reshape(-1).tolist()]
    if len(wanted) != len(axes) or min(wanted, default=0) < 0:
        raise OpenError("sizes")
    policy = call.text("keep_aspect_ratio_policy", "stretch")
    sizes = list(shape)
    if policy != "stretch":
        given = call.ints("axes", ()) or axes
        kept = [(n, axis) for n, axis in zip(wanted, given, strict=True) if axis >= 0]  # onnxruntime leaves the others
        wanted, axes = [n for n, _ in kept], [axis for _, axis in kept]
        if not axes:
            return shape
        ratios = [np.float32(n) / np.float32(max(1, shape[axis])) for n, axis in zip(wanted, axes, strict=True)]
        ratio = min(ratios) if policy == "not_larger" else max(ratios)
        wanted = [int(np.floor(np.float32(ratio * np.float32(shape[axis])) + np.float32(0.5))) for axis in axes]
    for axis, n in zip(axes, wanted, strict=True):
        sizes[axis] = n
    return tuple(sizes)


def _upsample(call: Call) -> list[Type]:
    """Scales are an attribute in opset 7 and 8, an input in 9."""
    x = call.tensor(0)
    scales = call.attributes["scales"] if call.opset < 9 else _floats(call.array(1))
    return [TensorType(x.dtype, by_scales(x.shape, scales, range(len(x.shape))))]


def _floats(array: Array) -> list[float]:
    return [float(n) for n in array.reshape(-1)]


RULES: Table = {"Resize": _resize, "Upsample": _upsample}
