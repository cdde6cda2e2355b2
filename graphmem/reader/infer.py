"""Node, input types and known values -> output types, by ONNX's own C++ shape inference, one node at a time.

`onnx.shape_inference.infer_node_outputs` runs the rule that the operator has in the model's own opset; the constant
inputs are passed as data. Nodes that are alike (same operator, attributes, input types and values) are inferred once.
A shape that the data decides is inferred at both ends of its interval, for operators whose output grows with the input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import NamedTuple

import onnx
import onnx.numpy_helper
import onnx.shape_inference

from graphmem.ir.budget import Budget
from graphmem.ir.errors import ModelError
from graphmem.ir.types import BoundedType, OptionalType, SequenceType, TensorType, Type, UnknownType
from graphmem.reader import bounded, data_dependent, rules
from graphmem.reader.bounded import arrays_at_end, end, spanning
from graphmem.reader.either import combinations, either, joined
from graphmem.reader.evaluate import with_values
from graphmem.reader.fingerprint import anonymous, attribute_key, fingerprint
from graphmem.reader.functions import OPSETS, opsets_of
from graphmem.reader.missing import reason_of
from graphmem.reader.protos import checked_type, dtype_of, plain_attributes, proto_of, type_of
from graphmem.reader.rules.call import Call
from graphmem.reader.runnable import check_runnable
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


class Inferred(NamedTuple):
    """Types and values of a node's outputs, and where runtimes and specification disagree, in words."""

    types: tuple[Type, ...]
    values: tuple[Value | None, ...]
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class NodeTyper:
    """Types the outputs of one node after another of a model with these opsets; remembers the ones it has seen."""

    opsets: Mapping[str, int]
    ir_version: int
    is_onnxruntime: bool = False  # sizes as onnxruntime's kernels have them also where the specification has its own
    budget: Budget = field(default_factory=Budget)
    seen: dict[object, Inferred] = field(default_factory=dict)
    schemas: dict[tuple[str, str], onnx.defs.OpSchema | None] = field(default_factory=dict)
    others: dict[object, NodeTyper] = field(default_factory=dict)

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

    def of(self, node: onnx.NodeProto) -> NodeTyper:
        """The typer that knows the node's own opsets, where it comes from a function that imported others."""
        opsets = opsets_of(node) if node.metadata_props else None
        if opsets is None:
            return self
        key = (OPSETS, *sorted(opsets.items()))
        found = self.others.get(key)
        if found is None:
            merged = {**self.opsets, **opsets}
            found = self.others[key] = NodeTyper(merged, self.ir_version, self.is_onnxruntime, self.budget)
        return found

    def has_rule(self, node: onnx.NodeProto) -> bool:
        """True when there is a shape rule of our own for the operator."""
        key = ("" if node.domain == "ai.onnx" else node.domain, node.op_type)
        return key in rules.RULES or key in rules.BEYOND

    def outputs(self, node: onnx.NodeProto, types: Sequence[Type | None], values: Sequence[Value | None]) -> Inferred:
        """Types and values of `node.output`, given those of `node.input` (None for omitted ones)."""
        key = (
            node.op_type,
            node.domain,
            tuple(map(bool, node.output)),
            tuple([attribute_key(attribute) for attribute in node.attribute]) if node.attribute else (),
            tuple(types),
            tuple([value and fingerprint(value) for value in values]),
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
        nameless = anonymous(node)
        if any(isinstance(type_, BoundedType) and type_.others for type_ in types):
            return self._of_any_rank(schema, nameless, types, values)
        return self._of_one_rank(schema, nameless, types, values)

    def _of_any_rank(
        self,
        schema: onnx.defs.OpSchema | None,
        node: onnx.NodeProto,
        types: Sequence[Type | None],
        values: Sequence[Value | None],
    ) -> Inferred:
        """What holds whichever ranks the inputs have; ranks that do not go together do not occur."""
        found, errors = [], []
        for row in combinations(types):
            try:
                found.append(self._of_one_rank(schema, node, row, values))
            except ModelError as error:
                errors.append(error)
        if not found:
            raise errors[0] if errors else ModelError("its inputs may have too many ranks")
        known = tuple(reduce(either, column) for column in zip(*(one.values for one in found), strict=True))
        return Inferred(tuple(joined(column) for column in zip(*(one.types for one in found), strict=True)), known)

    def _of_one_rank(
        self,
        schema: onnx.defs.OpSchema | None,
        node: onnx.NodeProto,
        types: Sequence[Type | None],
        values: Sequence[Value | None],
    ) -> Inferred:
        notes: list[str] = []
        found = self._types(schema, node, types, values, notes)
        if len(found) != len(node.output):
            raise ModelError(f"it has {len(node.output)} outputs, not {len(found)}")
        check_runnable(node, types, values, found)
        if schema is None or schema.domain:
            return Inferred(found, tuple(None for _ in found), tuple(dict.fromkeys(notes)))
        found, known = with_values(node, self.opsets.get("", 1), found, types, values, self.budget)
        return Inferred(found, known, tuple(dict.fromkeys(notes)))

    def _types(
        self,
        schema: onnx.defs.OpSchema | None,
        node: onnx.NodeProto,
        types: Sequence[Type | None],
        values: Sequence[Value | None],
        notes: list[str],
    ) -> tuple[Type, ...]:
        domain = "" if node.domain == "ai.onnx" else node.domain
        own = rules.RULES.get((domain, node.op_type))
        if own is None and schema is None:
            own = rules.BEYOND.get((domain, node.op_type))
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
            return self._bounded_types(schema, node, types, values, notes)
        return self._exact_types(schema, node, types, [None if v is None else v.low for v in values], notes)

    def _exact_types(
        self,
        schema: onnx.defs.OpSchema,
        node: onnx.NodeProto,
        types: Sequence[Type | None],
        arrays: Sequence[Array | None],
        notes: list[str],
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
            corrected = self._by_own_rule(schema, node, types, arrays, None, notes)
            if corrected is not None:
                return corrected
            raise ModelError(reason_of(error)) from error
        outputs = tuple(_output_type(found[name]) if name in found else UnknownType() for name in node.output)
        outputs = self._by_own_rule(schema, node, types, arrays, outputs, notes) or outputs
        check_runnable(node, types, [], outputs)  # in words, before the negative size itself
        for type_ in outputs:
            checked_type(type_, "output")
        if node.op_type == "Reshape":
            _check_elements(types[0], outputs[0])
        return outputs

    def _by_own_rule(
        self,
        schema: onnx.defs.OpSchema,
        node: onnx.NodeProto,
        types: Sequence[Type | None],
        arrays: Sequence[Array | None],
        outputs: tuple[Type, ...] | None,
        notes: list[str],
    ) -> tuple[Type, ...] | None:
        """`outputs` by ONNX's inference (None: it refuses the node) with what rules of our own put right or fill in."""
        key = (schema.domain, node.op_type)
        right, fill = rules.CORRECTIONS.get(key), rules.GAPS.get(key)
        if right is None and (fill is None or outputs is None or not any(map(_is_open, outputs))):
            return outputs
        values = [None if array is None else Value.exactly(array) for array in arrays]
        call = Call(node, types, values, plain_attributes(node), self.opsets.get(schema.domain, 1))
        if right is not None:
            outputs = rules.corrected(right, call, outputs, notes, is_onnxruntime=self.is_onnxruntime)
        if fill is not None and outputs is not None:
            outputs = tuple(
                mine if isinstance(type_, UnknownType) and mine != UnknownType() else type_
                for mine, type_ in zip(rules.applied(fill, call), outputs, strict=True)
            )
        return outputs

    def _bounded_types(
        self,
        schema: onnx.defs.OpSchema,
        node: onnx.NodeProto,
        types: Sequence[Type | None],
        values: Sequence[Value | None],
        notes: list[str],
    ) -> tuple[Type, ...]:
        check_axes(node, types)
        if rules.takes_bounds(node.op_type) and (schema.domain, node.op_type) in rules.CORRECTIONS:
            call = Call(node, types, values, plain_attributes(node), self.opsets.get(schema.domain, 1))
            return rules.applied(rules.CORRECTIONS[schema.domain, node.op_type], call)
        if bounded.has_rule(node.op_type):
            return bounded.applied(node, types, values)
        if not bounded.grows(node, types):
            return tuple(UnknownType() for _ in node.output)
        ends: list[tuple[Type, ...] | None] = []
        for is_high in (False, True):
            at_end = [end(type_, is_high) for type_ in types]
            arrays = arrays_at_end(node.op_type, values, is_high)
            if arrays is None:
                return tuple(UnknownType() for _ in node.output)
            try:
                ends.append(self._exact_types(schema, node, at_end, arrays, notes))
            except ModelError:  # a broadcast against zero elements, say: that end tells nothing
                ends.append(None)
        low, high = ends
        if high is None:
            return tuple(UnknownType() for _ in node.output)
        return tuple(spanning(a, b) for a, b in zip(low or [None] * len(high), high, strict=True))


def _output_type(proto: onnx.TypeProto) -> Type:
    """The type as inferred; a negative size, which no input can have, is left to the rules that may know better."""
    tensor = proto.tensor_type
    if any(d.HasField("dim_value") and d.dim_value < 0 for d in tensor.shape.dim):
        dims = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
        if None not in dims and tensor.elem_type:
            return TensorType(dtype_of(tensor.elem_type, "output"), tuple(d for d in dims if d is not None))
    return type_of(proto, "output")


def _check_elements(data: Type | None, reshaped: Type) -> None:
    """ModelError when Reshape changes the number of elements, which ONNX's own rule lets pass."""
    if isinstance(data, TensorType) and isinstance(reshaped, TensorType) and data.elements != reshaped.elements:
        raise ModelError(f"cannot reshape {data} to {list(reshaped.shape)}: the number of elements differs")


def _is_open(type_: Type | None) -> bool:
    return isinstance(type_, UnknownType | SequenceType | OptionalType)
