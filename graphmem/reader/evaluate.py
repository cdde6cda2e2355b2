"""Node and small known inputs -> its outputs' values, by the operator implementations of onnx.reference.

Nothing here touches weights: callers pass values only of tensors that `constants.is_small` admits, and only ask when
the outputs are small too. Only operators whose work is known beforehand run at all (WORK), and what they take is drawn
from the budget first: no regular expression or convolution ever says a shape. Intervals are carried through operators
that grow with their inputs (the shape arithmetic that follows a data-dependent shape), and dropped at any other.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import onnx

from graphmem.ir.budget import Budget
from graphmem.ir.types import BoundedType, Shape, TensorType, Type
from graphmem.reader.constants import is_small
from graphmem.reader.protos import plain_attributes
from graphmem.reader.values import Array, Value

# Operators that never fix their output before the run, whatever their inputs (onnx: non-deterministic schemas).
RANDOM = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}
)

# Every output element grows (weakly) with every input element.
INCREASING_IN_ALL = frozenset({"Add", "Concat", "Max", "Min", "Shape", "Size", "Sum"})
# The same for the first input; the others must be exact.
INCREASING_IN_FIRST = frozenset(
    {
        "Cast", "Ceil", "Expand", "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Identity", "ReduceMax",
        "ReduceMin", "ReduceSum", "Relu", "Reshape", "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
    }
)  # fmt: skip
# The same for all inputs as long as no element is negative.
INCREASING_FROM_ZERO = frozenset({"Mul", "ReduceProd"})

_AT_ONCE = (
    "Abs", "Add", "And", "ArgMax", "ArgMin", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor",
    "Cast", "CastLike", "Ceil", "Clip", "Compress", "Concat", "ConstantOfShape", "Cos", "CumSum", "Div", "Equal", "Exp",
    "Expand", "EyeLike", "Flatten", "Floor", "Gather", "Greater", "GreaterOrEqual", "Identity", "IsInf", "IsNaN",
    "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mod", "Mul", "Neg", "NonZero", "Not", "OneHot", "Or",
    "Pad", "Pow", "Range", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape", "Round", "Shape", "Sigmoid", "Sign", "Sin", "Size",
    "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tile", "Transpose", "Trilu", "Unsqueeze", "Where", "Xor",
)  # fmt: skip
_ONE_BY_ONE = (
    "GatherElements", "GatherND", "MatMul", "ReverseSequence", "ScatterElements", "ScatterND", "TopK", "Unique",
)  # fmt: skip
# Steps for each element that goes in or out: of operators that numpy does at once, and of loops in Python.
WORK: Mapping[str, float] = {**dict.fromkeys(_AT_ONCE, 0.05), **dict.fromkeys(_ONE_BY_ONE, 3.0)}
CALL = 100  # steps for finding and calling an implementation, however small its values


def is_deterministic(node: onnx.NodeProto) -> bool:
    """False when two runs with the same inputs may differ."""
    if node.op_type in RANDOM and node.domain in ("", "ai.onnx"):
        return False
    # A Dropout with a training_mode input (opset 12) draws a mask.
    return not (node.op_type == "Dropout" and len(node.input) > 2 and node.input[2])


def evaluated_outputs(
    node: onnx.NodeProto, opset: int, inputs: Sequence[Value | None], shapes: Sequence[Sequence[int]], budget: Budget
) -> list[Value] | None:
    """Values of all outputs of a node of the default domain, or None where no value can be told.

    `inputs` are the values of node.input in order, None for omitted optional ones; `shapes` the outputs' greatest.
    """
    if not budget.take(_steps(node.op_type, inputs, shapes)):
        return None
    if node.op_type not in WORK or any(v is not None and v.low.dtype.kind in "OSU" for v in inputs):
        return None
    try:
        found = _evaluated(node, opset, inputs)
    except ValueError:  # shapes that numpy does not broadcast: inference has its own word on them
        return None
    return found if found is not None and budget.keep(sum(value.low.nbytes for value in found)) else None


def _steps(op_type: str, inputs: Sequence[Value | None], shapes: Sequence[Sequence[int]]) -> int:
    """What a run takes: an axis of no elements counts as one, for what is made on the way may have it alone."""
    read = [value.low.shape for value in inputs if value is not None]
    elements = sum(prod(size or 1 for size in shape) for shape in (*read, *shapes))
    if op_type == "MatMul" and read and read[0]:  # each output is a sum along the last axis of the first input
        elements += sum(map(prod, shapes)) * read[0][-1] // 64
    return CALL + int(elements * WORK.get(op_type, 0))


def _evaluated(node: onnx.NodeProto, opset: int, inputs: Sequence[Value | None]) -> list[Value] | None:
    if all(value is None or value.is_exact for value in inputs):
        arrays = _run(node, opset, [None if v is None else v.low for v in inputs])
        return None if arrays is None else [Value.exactly(array) for array in arrays]
    return _interval_outputs(node, opset, inputs)


def _interval_outputs(node: onnx.NodeProto, opset: int, inputs: Sequence[Value | None]) -> list[Value] | None:
    lows = [None if v is None else v.low for v in inputs]
    highs = [None if v is None else v.high for v in inputs]
    op = node.op_type
    if op in ("Sub", "Div"):
        lows[1], highs[1] = highs[1], lows[1]
    elif op == "Equal":
        return _equal(lows, highs)
    elif op == "Where":
        return _where(inputs)
    if not _grows(op, inputs):
        return None
    low, high = _run(node, opset, lows), _run(node, opset, highs)
    if low is None or high is None or any(a.shape != b.shape for a, b in zip(low, high, strict=True)):
        return None
    return [Value(a, b) for a, b in zip(low, high, strict=True)]


def _grows(op: str, inputs: Sequence[Value | None]) -> bool:
    """True when the outputs' ends follow from the inputs' ends (those of a subtrahend or divisor taken crosswise)."""
    if op == "Div":
        return all(v is not None and bool((v.low >= least).all()) for v, least in zip(inputs, (0, 1), strict=True))
    if op in INCREASING_FROM_ZERO:
        return all(v is None or bool((v.low >= 0).all()) for v in inputs)
    if op in ("Sub", *INCREASING_IN_ALL):
        return True
    return op in INCREASING_IN_FIRST and all(v is None or v.is_exact for v in inputs[1:])


def _equal(lows: Sequence[Array | None], highs: Sequence[Array | None]) -> list[Value] | None:
    (a_low, b_low), (a_high, b_high) = lows, highs
    if a_low is None or b_low is None or a_high is None or b_high is None:
        return None
    a, b, c, d = (x.astype(np.int64) for x in (a_low, a_high, b_low, b_high))
    surely = (a == b) & (c == d) & (a == c)
    maybe = (a <= d) & (c <= b)
    return [Value(surely, maybe)]


def _where(inputs: Sequence[Value | None]) -> list[Value] | None:
    condition, x, y = inputs
    if condition is None or x is None or y is None:
        return None
    surely, maybe = condition.low.astype(bool), condition.high.astype(bool)
    either_low = np.minimum(x.low.astype(np.int64), y.low.astype(np.int64)).astype(x.low.dtype)
    either_high = np.maximum(x.high.astype(np.int64), y.high.astype(np.int64)).astype(x.low.dtype)
    low = np.where(surely, x.low, np.where(maybe, either_low, y.low))
    high = np.where(surely, x.high, np.where(maybe, either_high, y.high))
    return [Value(low, high)]


def _run(node: onnx.NodeProto, opset: int, arrays: Sequence[Array | None]) -> list[Array] | None:
    """Outputs of the reference implementation, or None when there is none or it fails on these values."""
    from onnx.reference.ops._op_list import load_op

    try:
        implementation: Any = load_op("", node.op_type, opset)
        parameters = {"log": _silent, "opsets": {"": opset}, "new_ops": None, "verbose": 0}
        with np.errstate(all="raise", under="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = implementation(node, parameters).run(*arrays)
    except Exception:  # whatever the implementation trips over, the value is simply not known
        return None
    found = [np.asarray(result) for result in results]
    return found if all(array.dtype != object for array in found) else None


def _silent(*_: object) -> None:
    """Takes the implementation's log lines and drops them."""


def with_values(
    node: onnx.NodeProto,
    opset: int,
    found: tuple[Type, ...],
    types: Sequence[Type | None],
    values: Sequence[Value | None],
    budget: Budget,
) -> tuple[tuple[Type, ...], tuple[Value | None, ...]]:
    """`found` and the outputs' values, where the inputs' values (or, for Shape and Size, types) decide them."""
    nothing = tuple(None for _ in found)
    if node.op_type in ("Shape", "Size"):
        return found, (_measured(node, types[0]), *nothing[1:])
    known = all(v is not None or not name for v, name in zip(values, node.input, strict=True))
    if not known or not is_deterministic(node) or not _all_small(found):
        return found, nothing
    results = evaluated_outputs(node, opset, values, [_greatest(t) for t in found], budget)
    if results is None or len(results) < len(found):
        return found, nothing
    pairs = [_agreed(type_, result) for type_, result in zip(found, results, strict=False)]
    return tuple(type_ for type_, _ in pairs), tuple(value for _, value in pairs)


def _measured(node: onnx.NodeProto, type_: Type | None) -> Value | None:
    """What Shape or Size says of an input of that type."""
    if node.op_type == "Size" and isinstance(type_, TensorType | BoundedType):
        greatest = type_.shape if isinstance(type_, TensorType) else type_.high
        if prod(greatest) >= 2**63:  # more than the operator can say
            return None
    if isinstance(type_, TensorType):
        return Value.exactly(_measure(node, type_.shape))
    if isinstance(type_, BoundedType):
        return Value(_measure(node, type_.low), _measure(node, type_.high))
    return None


def _measure(node: onnx.NodeProto, shape: Shape) -> Array:
    if node.op_type == "Size":
        return np.array(prod(shape), np.int64)
    attributes = plain_attributes(node)
    return np.array(shape[attributes.get("start", 0) : attributes.get("end")], np.int64)


def _greatest(type_: Type) -> Shape:
    return type_.shape if isinstance(type_, TensorType) else type_.high if isinstance(type_, BoundedType) else ()


def _all_small(types: Sequence[Type]) -> bool:
    return all(isinstance(t, TensorType | BoundedType) and is_small(t.dtype, prod(_greatest(t))) for t in types)


def _agreed(type_: Type, value: Value) -> tuple[Type, Value | None]:
    """Type and value made consistent: a bounded type is sharpened by an exact value, a contradicting value dropped."""
    if isinstance(type_, BoundedType) and value.is_exact:
        within = len(type_.high) == value.low.ndim and all(map(int.__le__, value.low.shape, type_.high))
        return (TensorType(type_.dtype, value.low.shape), value) if within else (type_, None)
    if isinstance(type_, TensorType) and value.low.shape == type_.shape and value.low.dtype.name == type_.dtype:
        return type_, value
    return type_, None
