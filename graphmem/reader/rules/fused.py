"""com.microsoft: fusions of ONNX's own operators, normalizations and activations.

Source: onnxruntime/docs/ContribOperators.md; each rule is compared with onnxruntime in tests/oracle/test_contrib.py.
"""

from __future__ import annotations

from dataclasses import replace

from graphmem.ir.types import Shape, TensorType, Type
from graphmem.reader.rules.call import Call, OpenError, Table
from graphmem.reader.rules.delegate import broadcast, inferred, matmul, shape_of
from graphmem.reader.rules.standard import like
from graphmem.reader.rules.windows import pooled, transposed

CONVOLUTION = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")


def kept(call: Call, *names: str) -> dict[str, object]:
    """Those attributes of the call that are given."""
    return {name: call.attributes[name] for name in names if name in call.attributes}


def _conv(call: Call) -> list[Type]:
    return [inferred("Conv", [call.tensor(0), call.tensor(1)], kept(call, *CONVOLUTION))]


def _nhwc_conv(call: Call) -> list[Type]:
    """Channels last in X and Y, filters first in W, whose other axes are not looked at: kernel_shape must be given."""
    batch, *space, channels = call.shape(0)
    kernel = call.ints("kernel_shape")
    x = TensorType(call.dtype(0), (batch, channels, *space))
    w = TensorType(call.dtype(0), (call.shape(1)[0], channels, *kernel))
    options = {**kept(call, *CONVOLUTION), "group": 1}
    n, filters, *out = shape_of(inferred("Conv", [x, w], options))
    return [TensorType(x.dtype, (n, *out, filters))]


def _nhwc_pool(call: Call) -> list[Type]:
    batch, *space, channels = call.shape(0)
    n, c, *out = pooled(call, (batch, channels, *space), ignores_dilations=True)
    return [TensorType(call.dtype(0), (n, *out, c))]


def _conv_transpose(call: Call) -> list[Type]:
    """ConvTranspose whose pads are an input."""
    pads = tuple(int(n) for n in call.array(2).tolist()) if call.has(2) else ()
    return transposed(replace(call, attributes={**call.attributes, "pads": pads}))


def _gemm(call: Call) -> list[Type]:
    options = kept(call, "transA", "transB")
    return [inferred("Gemm", [call.tensor(0), call.tensor(1)], options)]


def _matmul(call: Call) -> list[Type]:
    a, b = (
        _transposed(call.shape(i), bool(call.int_(f"trans{n}", 0)), bool(call.int_(f"transBatch{n}", 0)))
        for i, n in enumerate("AB")
    )
    return [TensorType(call.dtype(0), matmul(a, b))]


def _transposed(shape: Shape, swaps: bool, rotates: bool) -> Shape:
    """TransBatch moves the first axis behind the batch axes, trans then swaps the last two; vectors stay."""
    if len(shape) < 2:
        return shape
    if rotates:
        shape = (*shape[1:-1], shape[0], shape[-1])
    return (*shape[:-2], shape[-1], shape[-2]) if swaps else shape


def _biased(call: Call) -> list[Type]:
    return [TensorType(call.dtype(0), broadcast(call.shape(0), call.shape(1)))]


def _halved(call: Call) -> list[Type]:
    """BiasSplitGelu: one half of the last axis gates the other."""
    *rest, last = call.shape(0)
    return [TensorType(call.dtype(0), (*rest, last // 2))]


def _skip_norm(call: Call) -> list[Type]:
    """The sum of input and skip normalized; its statistics, one per row, in float32; and the sum itself."""
    x = call.tensor(0)
    statistic = TensorType("float32", (*x.shape[:-1], 1))
    return [x, statistic, statistic, x]


def _rms_norm(call: Call) -> list[Type]:
    x = call.tensor(0)
    axis = call.int_("axis", -1) % max(1, len(x.shape))
    return [x, TensorType("float32", (*x.shape[:axis], *(1 for _ in x.shape[axis:])))]


def _embed_norm(call: Call) -> list[Type]:
    batch, rows = call.shape(0, 2)
    out = TensorType(call.dtype(2), (batch, rows, call.shape(2, 2)[1]))
    return [out, TensorType("int32", (batch,)), out]


def _inverse(call: Call) -> list[Type]:
    if len(call.shape(0)) < 2:
        raise OpenError("rank")
    return [call.tensor(0)]


RULES: Table = {
    "BiasAdd": like(0),
    "BiasGelu": _biased,
    "BiasSplitGelu": _halved,
    "ConvTransposeWithDynamicPads": _conv_transpose,
    "EmbedLayerNormalization": _embed_norm,
    "FastGelu": like(0),
    "FusedConv": _conv,
    "FusedGemm": _gemm,
    "FusedMatMul": _matmul,
    "Gelu": like(0),
    "GroupNorm": like(0),
    "Inverse": _inverse,
    "NhwcConv": _nhwc_conv,
    "NhwcFusedConv": _nhwc_conv,
    "NhwcMaxPool": _nhwc_pool,
    "QuickGelu": like(0),
    "SkipGroupNorm": like(0, 0),
    "SkipLayerNormalization": _skip_norm,
    "SkipSimplifiedLayerNormalization": _skip_norm,
    "TransposeMatMul": _matmul,
    "Trilu": like(0),
}


def _layer_norm(call: Call) -> list[Type]:
    """The normalized input, and of each row its mean and inverse deviation, in float32."""
    return [*_rms_norm(call), _rms_norm(call)[1]]


def _cropped(call: Call) -> list[Type]:
    """Of (N, C, H, W): left, top, right, bottom cut off, or what `scale` leaves."""
    batch, channels, height, width = call.shape(0, 4)
    left, top, right, bottom = call.ints("border")
    scale = call.ints("scale", ())
    size = scale if len(scale) == 2 else (height - top - bottom, width - left - right)
    return [TensorType(call.dtype(0), (batch, channels, *size))]


# In ONNX's own domain: onnxruntime fuses a LayerNormalization into any opset, although ONNX has it since 17, and still
# runs what the first opsets had as experiments.
BEYOND: Table = {
    **dict.fromkeys(("Affine", "ImageScaler", "ParametricSoftplus", "Scale", "ScaledTanh", "ThresholdedRelu"), like(0)),
    "Crop": _cropped,
    "LayerNormalization": _layer_norm,
}

# Written into ONNX's own domain by onnxruntime, although ONNX has no such operator.
IN_DEFAULT_DOMAIN: Table = {
    "SimplifiedLayerNormalization": _rms_norm,
}
