"""com.microsoft.nchwc: convolution and pooling on channels in blocks, which onnxruntime writes into optimized models.

A tensor of C channels in blocks of b still has the shape (N, C, H, W), C rounded up to a multiple of b. How large b
is depends on the machine (8 or 16), so a number of channels that 16 does not divide is left open.
Source: onnxruntime/core/graph/contrib_ops/nchwc_schema_defs.cc.
"""

from __future__ import annotations

from graphmem.ir.types import TensorType, Type
from graphmem.reader.rules.call import Call, OpenError, Table
from graphmem.reader.rules.delegate import inferred
from graphmem.reader.rules.fused import CONVOLUTION, kept
from graphmem.reader.rules.windows import pooled

GREATEST_BLOCK = 16


def _conv(call: Call) -> list[Type]:
    """W (filters, channels per group, kernel...); padding may differ, so only its filters and kernel count."""
    filters, _, *kernel = call.shape(1)
    batch, channels, *space = call.shape(0)
    options = {**kept(call, *CONVOLUTION), "group": 1}
    x = TensorType(call.dtype(0), (batch, channels, *space))
    return [inferred("Conv", [x, TensorType(x.dtype, (filters, channels, *kernel))], options)]


def _pool(call: Call) -> list[Type]:
    return [TensorType(call.dtype(0), pooled(call, call.shape(0), ignores_dilations=True))]


def _global(call: Call) -> list[Type]:
    batch, channels, *space = call.shape(0)
    return [TensorType(call.dtype(0), (batch, channels, *(1 for _ in space)))]


def _reorder_input(call: Call) -> list[Type]:
    batch, *middle, last = call.shape(0)
    channels, *space = (last, *middle) if call.int_("channels_last", 0) else (*middle, last)
    if channels % GREATEST_BLOCK:
        raise OpenError("channels are padded to the machine's block")
    return [TensorType(call.dtype(0), (batch, channels, *space))]


def _reorder_output(call: Call) -> list[Type]:
    batch, _, *space = call.shape(0)
    channels = call.int_("channels")
    shape = (batch, *space, channels) if call.int_("channels_last", 0) else (batch, channels, *space)
    return [TensorType(call.dtype(0), shape)]


def _upsample(call: Call) -> list[Type]:
    shape, scales = call.shape(0), call.ints("scales")
    return [TensorType(call.dtype(0), tuple(n * k for n, k in zip(shape, scales, strict=True)))]


RULES: Table = {
    "AveragePool": _pool,
    "Conv": _conv,
    "GlobalAveragePool": _global,
    "GlobalMaxPool": _global,
    "MaxPool": _pool,
    "ReorderInput": _reorder_input,
    "ReorderOutput": _reorder_output,
    "Upsample": _upsample,
}
