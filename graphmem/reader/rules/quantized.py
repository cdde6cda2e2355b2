"""com.microsoft: operators on quantized tensors.

Source: onnxruntime/docs/ContribOperators.md; each rule is compared with onnxruntime in tests/oracle/test_contrib.py.
"""

from __future__ import annotations

from graphmem.ir.types import TensorType, Type
from graphmem.reader.rules.call import Call, OpenError, Rule, Table
from graphmem.reader.rules.delegate import broadcast, inferred, matmul, shape_of
from graphmem.reader.rules.fused import CONVOLUTION, kept
from graphmem.reader.rules.standard import like
from graphmem.reader.rules.windows import pooled


def _n_bits(call: Call) -> list[Type]:
    """MatMulNBits and MatMulBnb4: the packed weight's true width is the attribute N."""
    *rows, depth = call.shape(0)
    if depth != call.int_("K"):
        raise OpenError("K")
    return [TensorType(call.dtype(0), (*rows, call.int_("N")))]


def _product(dtype_of_input: int | None, dtype: str = "") -> Rule:
    """The product of inputs 0 and 1, in the element type of some input or in a fixed one."""

    def rule(call: Call) -> list[Type]:
        named = dtype if dtype_of_input is None else call.dtype(dtype_of_input)
        return [TensorType(named, matmul(call.shape(0), call.shape(1)))]

    return rule


def _broadcast(*positions: int) -> Rule:
    def rule(call: Call) -> list[Type]:
        return [TensorType(call.dtype(positions[-1]), broadcast(*(call.shape(p) for p in positions)))]

    return rule


def _gemm(call: Call) -> list[Type]:
    a, b = (TensorType("float32", call.shape(p, 2)) for p in (0, 3))
    found = inferred("Gemm", [a, b], kept(call, "transA", "transB"))
    return [TensorType(call.dtype(8) if call.has(8) else "float32", shape_of(found))]


def _concat(call: Call) -> list[Type]:
    parts = [TensorType("float32", call.shape(p)) for p in range(2, len(call.types), 3)]
    return [TensorType(call.dtype(1), shape_of(inferred("Concat", parts, {"axis": call.int_("axis")})))]


def _pool(call: Call) -> list[Type]:
    def rule(x: TensorType) -> Type:
        return TensorType(x.dtype, pooled(call, x.shape, ignores_dilations=True))

    return [_channels_first(call, rule)]


def _global_pool(call: Call) -> list[Type]:
    return [_channels_first(call, lambda x: inferred("GlobalAveragePool", [x]))]


def _conv(call: Call) -> list[Type]:
    """As ONNX's own QLinearConv, or with the channels last in X and Y."""
    options, w = kept(call, *CONVOLUTION), TensorType("float32", call.shape(3))
    found = _channels_first(call, lambda x: inferred("Conv", [x, w], options))
    return [TensorType(call.dtype(7), shape_of(found))]


def _channels_first(call: Call, rule: object) -> Type:
    """What `rule` makes of input 0 with its channels first, in the layout of the input."""
    shape = call.shape(0)
    last = bool(call.int_("channels_last", 0))
    if last:
        shape = (shape[0], shape[-1], *shape[1:-1])
    assert callable(rule)
    n, channels, *space = shape_of(rule(TensorType("float32", shape)))
    return TensorType(call.dtype(0), (n, *space, channels) if last else (n, channels, *space))


def _reduce(call: Call) -> list[Type]:
    options = kept(call, "axes", "keepdims")
    found = inferred("ReduceMean", [TensorType("float32", call.shape(0))], options)
    return [TensorType(call.dtype(0), shape_of(found))]


def _lstm(call: Call) -> list[Type]:
    """X (steps, batch, size) -> every state, the last state and the last cell, for each direction."""
    steps, batch, _ = call.shape(0, 3)
    hidden, directions = call.int_("hidden_size"), 2 if call.text("direction") == "bidirectional" else 1
    last = TensorType(call.dtype(0), (directions, batch, hidden))
    return [TensorType(call.dtype(0), (steps, directions, batch, hidden)), last, last]


def _quantize(call: Call) -> list[Type]:
    return [TensorType(call.dtype(2) if call.has(2) else "uint8", call.shape(0))]


def _dequantize(call: Call) -> list[Type]:
    return [TensorType(call.dtype(1), call.shape(0))]


RULES: Table = {
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLSTM": _lstm,
    "DynamicQuantizeMatMul": _product(0),
    "MatMulBnb4": _n_bits,
    "MatMulInteger16": _product(None, "int32"),
    "MatMulIntegerToFloat": _product(2),
    "MatMulNBits": _n_bits,
    "QGemm": _gemm,
    "QLinearAdd": _broadcast(0, 3),
    "QLinearAveragePool": _pool,
    "QLinearConcat": _concat,
    "QLinearConv": _conv,
    "QLinearGlobalAveragePool": _global_pool,
    "QLinearLeakyRelu": like(0),
    "QLinearMul": _broadcast(0, 3),
    "QLinearReduceMean": _reduce,
    "QLinearSigmoid": like(0),
    "QLinearSoftmax": like(0),
    "QLinearWhere": _broadcast(0, 1, 4),
    "QuantizeLinear": _quantize,
}
