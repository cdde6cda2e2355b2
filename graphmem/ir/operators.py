"""One table: what inference memory needs to know of an operator.

VIEWS are the operators whose first output is its first input under another shape; a runtime can share the buffer
(ONNX Runtime does so for exactly these: allocation_planner.cc, `Alias`). ELEMENTWISE ones compute each output element
from the elements at the same position alone, so an output may overwrite an input of the same size that dies there.
"""

from __future__ import annotations

from graphmem.ir.graph import Node

VIEWS = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})

_UNARY = {
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Cast", "CastLike", "Ceil", "Celu", "Clip",
    "Cos", "Cosh", "DequantizeLinear", "Dropout", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish",
    "IsInf", "IsNaN", "LeakyRelu", "Log", "Mish", "Neg", "Not", "QuantizeLinear", "Reciprocal", "Relu", "Round", "Selu",
    "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh",
    "ThresholdedRelu",
}  # fmt: skip
_NARY = {
    "Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater", "GreaterOrEqual",
    "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow", "Sub", "Sum", "Where", "Xor",
}  # fmt: skip
ELEMENTWISE = frozenset(_UNARY | _NARY)


def is_view(node: Node) -> bool:
    """True when the first output may share the first input's buffer."""
    return node.standard_type in VIEWS


def is_elementwise(node: Node) -> bool:
    """True when the first output may overwrite any input of its own size that nobody needs any more."""
    return node.standard_type in ELEMENTWISE
