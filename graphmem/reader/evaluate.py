"""Node and small known inputs -> its outputs' values, by the operator implementations of onnx.reference.

Nothing here touches weights: callers pass values only of tensors that `constants.is_small` admits, and only ask when
the outputs are small too. Intervals are carried through operators that grow with their inputs (the shape arithmetic
that follows a data-dependent shape), and dropped at any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

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


def is_deterministic(node: onnx.NodeProto) -> bool:
    """False when two runs with the same inputs may differ."""
    if node.op_type in RANDOM and node.domain in ("", "ai.onnx"):
        return False
    # A Dropout with a training_mode input (opset 12) draws a mask.
    return not (node.op_type == "Dropout" and len(node.input) > 2 and node.input[2])


def evaluated_outputs(node: onnx.NodeProto, opset: int, inputs: Sequence[Value | None]) -> list[Value] | None:
    """Values of all outputs of a node of the default domain, or None where no value can be told.

    `inputs` are the values of node.input in order, None for omitted optional ones.
    """
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
        with np.errstate(all="raise", under="ignore"):
            results = implementation(node, parameters).run(*arrays)
    except Exception:  # whatever the implementation trips over, the value is simply not known
        return None
    found = [np.asarray(result) for result in results]
    return found if all(array.dtype != object for array in found) else None


def _silent(*_: object) -> None:
    """Takes the implementation's log lines and drops them."""
