"""Node, input types and known values -> output types, by ONNX's own C++ shape inference, one node at a time.

`onnx.shape_inference.infer_node_outputs` runs the rule that the operator has in the model's own opset; the constant
inputs are passed as data. Nodes that are alike (same operator, attributes, input types and values) are inferred once.
A shape that the data decides is inferred at both ends of its interval, for operators whose output grows with the input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.shape_inference

from graphmem.ir.errors import ModelError
from graphmem.ir.types import BoundedType, OptionalType, SequenceType, TensorType, Type, UnknownType
from graphmem.reader import data_dependent
from graphmem.reader.constants import is_small
from graphmem.reader.evaluate import evaluated_outputs, is_deterministic
from graphmem.reader.gaps import filled
from graphmem.reader.typeproto import proto_of, type_of
from graphmem.reader.values import Array, Value

# Values longer than this never say a shape; passing them would only cost time.
MAX_SHAPE_DATA = 1_024

Inferred: TypeAlias = tuple[tuple[Type, ...], "tuple[Value | None, ...]"]

# Operators whose output dimensions grow (weakly) with their input dimensions and with the values that say a shape.
GROWING = frozenset(
    {
        "Abs", "Add", "And", "ArgMax", "ArgMin", "Cast", "CastLike", "Ceil", "Clip", "Concat", "ConstantOfShape", "Cos",
        "CumSum", "DequantizeLinear", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "Expand", "EyeLike", "Flatten",
        "Floor", "Gather", "GatherElements", "GatherND", "Gelu", "Gemm", "Greater", "GreaterOrEqual", "HardSigmoid",
        "HardSwish", "Identity", "IsInf", "IsNaN", "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log",
        "LogSoftmax", "MatMul", "Max", "Mean", "Min", "Mod", "Mul", "Neg", "Not", "OneHot", "Or", "PRelu", "Pow",
        "QuantizeLinear", "RMSNormalization", "Range", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSumExp",
        "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Round",
        "ScatterElements", "ScatterND", "Selu", "Shape", "Sigmoid", "Sign", "Sin", "Size", "Slice", "Softmax",
        "Softplus", "Sqrt", "Squeeze", "Sub", "Sum", "Swish", "Tanh", "Tile", "TopK", "Transpose", "Trilu", "Unsqueeze",
        "Where", "Xor",
    }
)  # fmt: skip


@dataclass(slots=True)
class NodeTyper:
    """Types the outputs of one node after another of a model with these opsets; remembers the ones it has seen."""

    opsets: Mapping[str, int]
    ir_version: int
    seen: dict[object, Inferred] = field(default_factory=dict)
    schemas: dict[tuple[str, str], onnx.defs.OpSchema | None] = field(default_factory=dict)

    def schema(self, node: onnx.NodeProto) -> onnx.defs.OpSchema | None:
        """The operator's schema in the model's opset, or None when ONNX has none."""
        key = (node.domain, node.op_type)
        if key not in self.schemas:
            domain = "" if node.domain == "ai.onnx" else node.domain
            try:
                self.schemas[key] = onnx.defs.get_schema(node.op_type, self.opsets.get(domain, 0), domain)
            except onnx.defs.SchemaError:
                self.schemas[key] = None
        return self.schemas[key]

    def outputs(self, node: onnx.NodeProto, types: Sequence[Type | None], values: Sequence[Value | None]) -> Inferred:
        """Types and values of `node.output`, given those of `node.input` (None for omitted ones)."""
        key = (
            node.op_type,
            node.domain,
            tuple(map(bool, node.output)),
            tuple([attribute.SerializeToString() for attribute in node.attribute]),
            tuple(types),
            tuple([_fingerprint(value) for value in values]),
        )
        found = self.seen.get(key)
        if found is None:
            found = self.seen[key] = self._outputs(node, types, values)
        return found

    def _outputs(self, node: onnx.NodeProto, types: Sequence[Type | None], values: Sequence[Value | None]) -> Inferred:
        schema = self.schema(node)
        if schema is None:
            return tuple(UnknownType() for _ in node.output), tuple(None for _ in node.output)
        anonymous = _anonymous(node)
        found = self._types(schema, anonymous, types, values)
        return self._with_values(schema, anonymous, found, types, values)

    def _types(
        self,
        schema: onnx.defs.OpSchema,
        node: onnx.NodeProto,
        types: Sequence[Type | None],
        values: Sequence[Value | None],
    ) -> tuple[Type, ...]:
        if node.op_type in data_dependent.RULES and node.domain in ("", "ai.onnx"):
            bounded = data_dependent.bounded_outputs(node.op_type, types, values, _plain_attributes(node))
            if bounded is not None:
                return tuple(bounded[: len(node.output)])
        if any(isinstance(t, BoundedType) for t in types) or any(v is not None and not v.is_exact for v in values):
            return self._bounded_types(schema, node, types, values)
        return self._exact_types(schema, node, types, [None if v is None else v.low for v in values])

    def _exact_types(
        self,
        schema: onnx.defs.OpSchema,
        node: onnx.NodeProto,
        types: Sequence[Type | None],
        arrays: Sequence[Array | None],
    ) -> tuple[Type, ...]:
        protos = {name: proto_of(type_) for name, type_ in zip(node.input, types, strict=True) if type_ is not None}
        data = {
            name: onnx.numpy_helper.from_array(array)
            for name, array in zip(node.input, arrays, strict=True)
            if array is not None and array.size <= MAX_SHAPE_DATA
        }
        opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in self.opsets.items()]
        try:
            found = onnx.shape_inference.infer_node_outputs(
                schema, node, protos, data, opset_imports=opsets, ir_version=self.ir_version
            )
        except Exception as error:  # InferenceError, ValidationError, ... : several modules, one meaning
            if any(_is_open(type_) for type_ in types):
                return tuple(UnknownType() for _ in node.output)
            raise ModelError(_reason(error)) from error
        outputs = tuple(type_of(found[name], "output") if name in found else UnknownType() for name in node.output)
        if schema.domain == "":
            opset = self.opsets.get("", 1)
            outputs = tuple(
                (filled(node.op_type, position, types, opset) or type_) if isinstance(type_, UnknownType) else type_
                for position, type_ in enumerate(outputs)
            )
        if node.op_type == "Reshape":
            _check_elements(types[0], outputs[0])
        return outputs

    def _bounded_types(
        self,
        schema: onnx.defs.OpSchema,
        node: onnx.NodeProto,
        types: Sequence[Type | None],
        values: Sequence[Value | None],
    ) -> tuple[Type, ...]:
        own = BOUNDED_RULES.get(node.op_type)
        if own is not None:
            return tuple(own(types, values, _plain_attributes(node), len(node.output)))
        if node.op_type not in GROWING:
            return tuple(UnknownType() for _ in node.output)
        ends: list[tuple[Type, ...] | None] = []
        for is_high in (False, True):
            at_end = [_end(type_, is_high) for type_ in types]
            arrays = _arrays_at_end(node.op_type, values, is_high)
            if arrays is None:
                return tuple(UnknownType() for _ in node.output)
            try:
                ends.append(self._exact_types(schema, node, at_end, arrays))
            except ModelError:  # a broadcast against zero elements, say: that end tells nothing
                ends.append(None)
        low, high = ends
        if high is None:
            return tuple(UnknownType() for _ in node.output)
        return tuple(_spanning(a, b) for a, b in zip(low or [None] * len(high), high, strict=True))

    def _with_values(
        self,
        schema: onnx.defs.OpSchema,
        node: onnx.NodeProto,
        found: tuple[Type, ...],
        types: Sequence[Type | None],
        values: Sequence[Value | None],
    ) -> Inferred:
        """`found` with the outputs' values, where the inputs' values (or, for Shape and Size, types) decide them."""
        nothing = tuple(None for _ in found)
        if node.op_type in ("Shape", "Size") and schema.domain == "":
            values = [_any_of(types[0])]
        known = all(v is not None or not name for v, name in zip(values, node.input, strict=True))
        if not known or schema.domain != "" or not is_deterministic(node) or not _all_small(found):
            return found, nothing
        results = evaluated_outputs(node, self.opsets.get("", 1), values)
        if results is None or len(results) < len(found):
            return found, nothing
        pairs = [_agreed(type_, result) for type_, result in zip(found, results, strict=False)]
        return tuple(type_ for type_, _ in pairs), tuple(value for _, value in pairs)


def _fingerprint(value: Value | None) -> object:
    if value is None:
        return None
    low = (value.low.dtype.str, value.low.shape, value.low.tobytes())
    return low if value.low is value.high else (low, value.high.tobytes())


def _anonymous(node: onnx.NodeProto) -> onnx.NodeProto:
    """The node with its names replaced by positions and without its metadata."""
    return onnx.NodeProto(
        op_type=node.op_type,
        domain=node.domain,
        input=[f"i{i}" if name else "" for i, name in enumerate(node.input)],
        output=[f"o{i}" if name else "" for i, name in enumerate(node.output)],
        attribute=node.attribute,
    )


def _plain_attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def _reason(error: Exception) -> str:
    """The C++ exception in one line, without its own prefix."""
    text = " ".join(str(error).split())
    return text.removeprefix("[ShapeInferenceError] ").removeprefix("[TypeInferenceError] ")[:300]


def _check_elements(data: Type | None, reshaped: Type) -> None:
    """ModelError when Reshape changes the number of elements, which ONNX's own rule lets pass."""
    if isinstance(data, TensorType) and isinstance(reshaped, TensorType) and data.elements != reshaped.elements:
        raise ModelError(f"cannot reshape {data} to {list(reshaped.shape)}: the number of elements differs")


def _is_open(type_: Type | None) -> bool:
    return isinstance(type_, UnknownType | SequenceType | OptionalType)


def _end(type_: Type | None, is_high: bool) -> Type | None:
    if isinstance(type_, BoundedType):
        return TensorType(type_.dtype, type_.high if is_high else type_.low)
    return type_


# Inputs whose growth makes the output smaller, and inputs that must be exact for any end to be told.
SHRINKING: Mapping[str, frozenset[int]] = {"Range": frozenset({0}), "Slice": frozenset({1})}
EXACT_ONLY: Mapping[str, frozenset[int]] = {"Range": frozenset({2}), "Slice": frozenset({3, 4})}


def _arrays_at_end(op_type: str, values: Sequence[Value | None], is_high: bool) -> list[Array | None] | None:
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


def _spanning(low: Type | None, high: Type) -> Type:
    """The type whose shape lies between the two; with an unknown low end, from zero."""
    if not isinstance(high, TensorType):
        return UnknownType()
    if not isinstance(low, TensorType) or len(low.shape) != len(high.shape):
        return BoundedType(high.dtype, tuple(0 for _ in high.shape), high.shape) if high.shape else high
    if low.shape == high.shape:
        return high
    least, most = (tuple(map(f, low.shape, high.shape)) for f in (min, max))
    return BoundedType(high.dtype, least, most)


def _any_of(type_: Type | None) -> Value | None:
    """Some arrays of the type's least and greatest shape, for operators that look at nothing but the shape."""
    if isinstance(type_, TensorType):
        return Value.exactly(np.broadcast_to(np.zeros((), np.int8), type_.shape))
    if isinstance(type_, BoundedType):
        low, high = (np.broadcast_to(np.zeros((), np.int8), shape) for shape in (type_.low, type_.high))
        return Value(low, high)
    return None


def _all_small(types: Sequence[Type]) -> bool:
    return all(
        isinstance(t, TensorType | BoundedType)
        and is_small(t.dtype, t.elements if isinstance(t, TensorType) else int(np.prod(t.high, dtype=float)))
        for t in types
    )


def _agreed(type_: Type, value: Value) -> tuple[Type, Value | None]:
    """Type and value made consistent: a bounded type is sharpened by an exact value, a contradicting value dropped."""
    if isinstance(type_, BoundedType) and value.is_exact:
        within = len(type_.high) == value.low.ndim and all(map(int.__le__, value.low.shape, type_.high))
        return (TensorType(type_.dtype, value.low.shape), value) if within else (type_, None)
    if isinstance(type_, TensorType) and value.low.shape == type_.shape and value.low.dtype.name == type_.dtype:
        return type_, value
    return type_, None


def _bounded_reshape(
    types: Sequence[Type | None], values: Sequence[Value | None], attributes: Mapping[str, Any], _: int
) -> list[Type]:
    """Reshape of a bounded tensor: stated dimensions as stated, and -1 takes what the most elements leave."""
    data, target = types[0], values[1] if len(values) > 1 else None
    if not isinstance(data, TensorType | BoundedType) or target is None:
        return [UnknownType()]
    low_in, high_in = (data.shape, data.shape) if isinstance(data, TensorType) else (data.low, data.high)
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
        _spanning(
            TensorType(data.dtype, _replaced(data.low, axis, a)), TensorType(data.dtype, _replaced(data.high, axis, b))
        )
        for a, b in sizes
    ]


def _replaced(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


# Operators whose bound is not found by inferring at both ends.
BoundedRule: TypeAlias = Callable[[Sequence[Type | None], Sequence[Value | None], Mapping[str, Any], int], list[Type]]
BOUNDED_RULES: Mapping[str, BoundedRule] = {
    "Reshape": _bounded_reshape,
    "Split": _bounded_split,
}
