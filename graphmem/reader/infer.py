"""Node, input types and known values -> output types, by ONNX's own C++ shape inference, one node at a time.

`onnx.shape_inference.infer_node_outputs` runs the rule that the operator has in the model's own opset; the constant
inputs are passed as data. Nodes that are alike (same operator, attributes, input types and values) are inferred once.
A shape that the data decides is inferred at both ends of its interval, for operators whose output grows with the input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from math import prod
from typing import TypeAlias

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.shape_inference

from graphmem.ir.budget import Budget
from graphmem.ir.errors import ModelError
from graphmem.ir.types import BoundedType, OptionalType, SequenceType, Shape, TensorType, Type, UnknownType
from graphmem.reader import bounded, data_dependent, rules
from graphmem.reader.bounded import GROWING, arrays_at_end, end, spanning
from graphmem.reader.constants import is_small
from graphmem.reader.evaluate import evaluated_outputs, is_deterministic
from graphmem.reader.protos import plain_attributes, proto_of, type_of
from graphmem.reader.rules.call import Call
from graphmem.reader.validity import (
    check_arity,
    check_attributes,
    check_axes,
    check_element_types,
    check_parts,
    check_words,
)
from graphmem.reader.values import Array, Value

# Values longer than this never say a shape; passing them would only cost time.
MAX_SHAPE_DATA = 1_024

Inferred: TypeAlias = tuple[tuple[Type, ...], "tuple[Value | None, ...]"]


@dataclass(slots=True)
class NodeTyper:
    """Types the outputs of one node after another of a model with these opsets; remembers the ones it has seen."""

    opsets: Mapping[str, int]
    ir_version: int
    budget: Budget = field(default_factory=Budget)
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

    def has_rule(self, node: onnx.NodeProto) -> bool:
        """True when there is a shape rule of our own for the operator."""
        return ("" if node.domain == "ai.onnx" else node.domain, node.op_type) in rules.RULES

    def outputs(self, node: onnx.NodeProto, types: Sequence[Type | None], values: Sequence[Value | None]) -> Inferred:
        """Types and values of `node.output`, given those of `node.input` (None for omitted ones)."""
        key = (
            node.op_type,
            node.domain,
            tuple(map(bool, node.output)),
            tuple([attribute.SerializeToString() for attribute in node.attribute]) if node.attribute else (),
            tuple(types),
            tuple([value and _fingerprint(value) for value in values]),
        )
        found = self.seen.get(key)
        if found is None:
            found = self.seen[key] = self._outputs(node, types, values)
        return found

    def check(self, node: onnx.NodeProto, types: Sequence[Type | None]) -> None:
        """ModelError for a node that its operator's schema does not allow, whatever the shapes."""
        check_attributes(node)
        schema = self.schema(node)
        if schema is not None:
            check_arity(schema, node)
            check_parts(node)
            if not schema.domain:
                check_words(node)
            check_element_types(schema, types)

    def _outputs(self, node: onnx.NodeProto, types: Sequence[Type | None], values: Sequence[Value | None]) -> Inferred:
        self.check(node, types)
        schema = self.schema(node)
        anonymous = _anonymous(node)
        found = self._types(schema, anonymous, types, values)
        if len(found) != len(node.output):
            raise ModelError(f"it has {len(node.output)} outputs, not {len(found)}")
        return self._with_values(schema, anonymous, found, types, values)

    def _types(
        self,
        schema: onnx.defs.OpSchema | None,
        node: onnx.NodeProto,
        types: Sequence[Type | None],
        values: Sequence[Value | None],
    ) -> tuple[Type, ...]:
        domain = "" if node.domain == "ai.onnx" else node.domain
        own = rules.RULES.get((domain, node.op_type))
        if own is not None:
            call = Call(node, types, values, plain_attributes(node), self.opsets.get(domain, 1))
            return rules.applied(own, call)
        if schema is None:
            return tuple(UnknownType() for _ in node.output)
        if node.op_type in data_dependent.RULES and not domain:
            decided = data_dependent.bounded_outputs(node.op_type, types, values, plain_attributes(node))
            if decided is not None:
                return tuple(decided[: len(node.output)])
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
        check_axes(node, types)
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
        fill = rules.GAPS.get((schema.domain, node.op_type))
        if fill is not None and any(isinstance(type_, UnknownType) for type_ in outputs):
            values = [None if array is None else Value.exactly(array) for array in arrays]
            call = Call(node, types, values, plain_attributes(node), self.opsets.get(schema.domain, 1))
            outputs = tuple(
                mine if isinstance(type_, UnknownType) else type_
                for mine, type_ in zip(rules.applied(fill, call), outputs, strict=True)
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
        check_axes(node, types)
        if bounded.has_rule(node.op_type):
            return bounded.applied(node, types, values)
        if node.op_type not in GROWING:
            return tuple(UnknownType() for _ in node.output)
        ends: list[tuple[Type, ...] | None] = []
        for is_high in (False, True):
            at_end = [end(type_, is_high) for type_ in types]
            arrays = arrays_at_end(node.op_type, values, is_high)
            if arrays is None:
                return tuple(UnknownType() for _ in node.output)
            try:
                ends.append(self._exact_types(schema, node, at_end, arrays))
            except ModelError:  # a broadcast against zero elements, say: that end tells nothing
                ends.append(None)
        low, high = ends
        if high is None:
            return tuple(UnknownType() for _ in node.output)
        return tuple(spanning(a, b) for a, b in zip(low or [None] * len(high), high, strict=True))

    def _with_values(
        self,
        schema: onnx.defs.OpSchema | None,
        node: onnx.NodeProto,
        found: tuple[Type, ...],
        types: Sequence[Type | None],
        values: Sequence[Value | None],
    ) -> Inferred:
        """`found` with the outputs' values, where the inputs' values (or, for Shape and Size, types) decide them."""
        nothing = tuple(None for _ in found)
        if schema is None or schema.domain != "":
            return found, nothing
        if node.op_type in ("Shape", "Size"):
            measured = _measured(node, types[0])
            return (found, (measured, *nothing[1:]))
        known = all(v is not None or not name for v, name in zip(values, node.input, strict=True))
        if not known or not is_deterministic(node) or not _all_small(found):
            return found, nothing
        results = evaluated_outputs(node, self.opsets.get("", 1), values, [_greatest(t) for t in found], self.budget)
        if results is None or len(results) < len(found):
            return found, nothing
        pairs = [_agreed(type_, result) for type_, result in zip(found, results, strict=False)]
        return tuple(type_ for type_, _ in pairs), tuple(value for _, value in pairs)


def _greatest(type_: Type) -> Shape:
    return type_.shape if isinstance(type_, TensorType) else type_.high if isinstance(type_, BoundedType) else ()


def _fingerprint(value: Value) -> object:
    if value.low.dtype == object:  # strings: the bytes of an object array are addresses
        return (value.low.shape, *map(str, value.low.ravel()))
    low = (value.low.dtype.str, value.low.shape, _digest(value.low))
    return low if value.low is value.high else (low, _digest(value.high))


def _digest(array: Array) -> bytes:
    """The bytes themselves where they are few: what is remembered must not grow with the values."""
    data = array.tobytes()
    return data if len(data) <= 64 else blake2b(data, digest_size=32).digest()


def _anonymous(node: onnx.NodeProto) -> onnx.NodeProto:
    """The node with its names replaced by positions and without its metadata."""
    return onnx.NodeProto(
        op_type=node.op_type,
        domain=node.domain,
        input=[f"i{i}" if name else "" for i, name in enumerate(node.input)],
        output=[f"o{i}" if name else "" for i, name in enumerate(node.output)],
        attribute=node.attribute,
    )


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


def _measured(node: onnx.NodeProto, type_: Type | None) -> Value | None:
    """What Shape or Size says of an input of that type."""
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
