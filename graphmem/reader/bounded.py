"""Shapes that the data decides, carried through a node: which operators let them through, and how.

A bounded type is inferred at both ends of its interval where the output grows with the input (GROWING), by a rule of
its own where it does not (BOUNDED_RULES), and is given up anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx

from graphmem.ir.errors import ModelError
from graphmem.ir.types import BoundedType, TensorType, Type, UnknownType
from graphmem.reader.protos import plain_attributes
from graphmem.reader.values import Array, Value

# Operators whose output dimensions grow (weakly) with their input dimensions and with the values that say a shape.
GROWING = frozenset(
    {
        "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh", "AveragePool",
        "BatchNormalization", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Cast", "CastLike",
        "Ceil", "Celu", "Clip", "Concat", "ConstantOfShape", "Conv", "ConvInteger", "ConvTranspose", "Cos", "Cosh",
        "CumSum", "DepthToSpace", "DequantizeLinear", "Div", "Dropout", "DynamicQuantizeLinear", "Elu", "Equal", "Erf",
        "Exp", "Expand", "EyeLike", "Flatten", "Floor", "GRU", "Gather", "GatherElements", "GatherND", "Gelu", "Gemm",
        "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "Greater", "GreaterOrEqual", "GridSample",
        "GroupNormalization", "HardSigmoid", "HardSwish", "Hardmax", "Identity", "InstanceNormalization", "IsInf",
        "IsNaN", "LRN", "LSTM", "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax",
        "LpNormalization", "LpPool", "MatMul", "MatMulInteger", "Max", "MaxPool", "Mean", "MeanVarianceNormalization",
        "Min", "Mish", "Mod", "Mul", "Neg", "Not", "OneHot", "Or", "PRelu", "Pad", "Pow", "QLinearConv",
        "QLinearMatMul", "QuantizeLinear", "RMSNormalization", "RNN", "RandomNormalLike", "RandomUniformLike", "Range",
        "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
        "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Resize", "ReverseSequence", "RoiAlign", "Round",
        "ScatterElements", "ScatterND", "Selu", "Shape", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Size", "Slice",
        "Softmax", "Softplus", "Softsign", "SpaceToDepth", "Sqrt", "Squeeze", "Sub", "Sum", "Swish", "Tan", "Tanh",
        "ThresholdedRelu", "Tile", "TopK", "Transpose", "Trilu", "Unsqueeze", "Upsample", "Where", "Xor",
    }
)  # fmt: skip


def grows(node: onnx.NodeProto, types: Sequence[Type | None]) -> bool:
    """True where the output grows with the inputs: not where proportions are kept, nor where each 1 is left out."""
    plain = plain_attributes(node)
    if node.op_type == "Resize" and plain.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        return False
    is_open = any(isinstance(type_, BoundedType) for type_ in types)
    if node.op_type == "Squeeze" and is_open and len(node.input) < 2 and "axes" not in plain:
        return False
    return node.op_type in GROWING


def end(type_: Type | None, is_high: bool) -> Type | None:
    """The type with its least or its greatest shape."""
    if isinstance(type_, BoundedType):
        return TensorType(type_.dtype, type_.high if is_high else type_.low)
    return type_


# Inputs whose growth makes the output smaller, and inputs that must be exact for any end to be told.
SHRINKING: Mapping[str, frozenset[int]] = {"Range": frozenset({0}), "Slice": frozenset({1})}
EXACT_ONLY: Mapping[str, frozenset[int]] = {"Range": frozenset({2}), "Slice": frozenset({3, 4})}


def arrays_at_end(op_type: str, values: Sequence[Value | None], is_high: bool) -> list[Array | None] | None:
    """The values that give the output's least or greatest shape, or None when neither end of an interval does."""
    arrays: list[Array | None] = []
    for position, value in enumerate(values):
        if value is None or value.is_exact:
            arrays.append(None if value is None else value.low)
            continue
        wraps = op_type == "Slice" and bool(
            ((value.low < 0) & (value.high >= 0)).any()
        )  # -1 means the end, 0 the start
        if wraps or position in EXACT_ONLY.get(op_type, ()):
            return None
        takes_high = is_high != (position in SHRINKING.get(op_type, ()))
        arrays.append(value.high if takes_high else value.low)
    return arrays


def spanning(low: Type | None, high: Type) -> Type:
    """The type whose shape lies between the two; with an unknown low end, from zero."""
    if not isinstance(high, TensorType):
        return UnknownType()
    if not isinstance(low, TensorType) or len(low.shape) != len(high.shape):
        return BoundedType(high.dtype, tuple(0 for _ in high.shape), high.shape) if high.shape else high
    if low.shape == high.shape:
        return high
    least, most = (tuple(map(f, low.shape, high.shape)) for f in (min, max))
    return BoundedType(high.dtype, least, most)


def _bounded_reshape(
    types: Sequence[Type | None], values: Sequence[Value | None], attributes: Mapping[str, Any], _: int
) -> list[Type]:
    """Reshape of a bounded tensor: stated dimensions as stated, and -1 takes what the most elements leave."""
    data, target = types[0], values[1] if len(values) > 1 else None
    if not isinstance(data, TensorType | BoundedType) or target is None:
        return [UnknownType()]
    low_in, high_in = (data.shape, data.shape) if isinstance(data, TensorType) else (data.low, data.high)
    if target.low.ndim != 1 or int(target.low.min(initial=0)) < -1:
        raise ModelError(f"a shape is a list of sizes and at most one -1, not {target.low.tolist()}")
    ends = []
    for shape_in, dims in ((low_in, target.low.tolist()), (high_in, target.high.tolist())):
        copied = [shape_in[i] if d == 0 and not attributes.get("allowzero") else int(d) for i, d in enumerate(dims)]
        ends.append((int(np.prod(shape_in, dtype=object)), copied))
    (few, low), (many, high) = ends
    if any((a < 0) != (b < 0) for a, b in zip(low, high, strict=True)):
        return [UnknownType(data.dtype)]
    rest_low = int(np.prod([d for d in high if d >= 0], dtype=object))
    rest_high = max(1, int(np.prod([d for d in low if d >= 0], dtype=object)))
    shape_low = tuple(few // max(1, rest_low) if d < 0 else d for d in low)
    shape_high = tuple(many // rest_high if d < 0 else d for d in high)
    if any(a > b for a, b in zip(shape_low, shape_high, strict=True)):
        return [UnknownType(data.dtype)]
    return [
        TensorType(data.dtype, shape_high)
        if shape_low == shape_high
        else BoundedType(data.dtype, shape_low, shape_high)
    ]


def _bounded_split(
    types: Sequence[Type | None], values: Sequence[Value | None], attributes: Mapping[str, Any], count: int
) -> list[Type]:
    """Split of a bounded tensor: stated sizes as stated, equal parts from zero to their greatest size."""
    data = types[0]
    if not isinstance(data, BoundedType) or (len(values) > 1 and (values[1] is None or not values[1].is_exact)):
        return [UnknownType() for _ in range(count)]
    axis = attributes.get("axis", 0) % len(data.high)
    stated = values[1].low.tolist() if len(values) > 1 and values[1] is not None else attributes.get("split")
    sizes = [(n, n) for n in stated] if stated else [(0, -(-data.high[axis] // count))] * count
    return [
        spanning(
            TensorType(data.dtype, _replaced(data.low, axis, a)), TensorType(data.dtype, _replaced(data.high, axis, b))
        )
        for a, b in sizes
    ]


def _replaced(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


# Operators whose bound is not found by inferring at both ends.
BoundedRule: TypeAlias = Callable[[Sequence[Type | None], Sequence[Value | None], Mapping[str, Any], int], list[Type]]
_RULES: Mapping[str, BoundedRule] = {
    "Reshape": _bounded_reshape,
    "Split": _bounded_split,
}


def has_rule(op_type: str) -> bool:
    """True for an operator whose bound has a rule of its own."""
    return op_type in _RULES


def applied(node: onnx.NodeProto, types: Sequence[Type | None], values: Sequence[Value | None]) -> tuple[Type, ...]:
    """The outputs of a node by the rule of its own; ModelError for inputs that the specification does not allow."""
    try:
        return tuple(_RULES[node.op_type](types, values, plain_attributes(node), len(node.output)))
    except (LookupError, ValueError, TypeError, ArithmeticError) as error:
        raise ModelError(f"it cannot take {', '.join(map(str, types))} with these sizes and attributes") from error
