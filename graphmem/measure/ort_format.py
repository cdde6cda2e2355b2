"""Bytes of an ORT-format file -> ModelProto without weights, and what only this format tells.

ONNX Runtime's own file format keeps what its ONNX export drops: the number of each node and the shape that it knows of
each value, which are just what its memory planner goes by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphmem.ir.runtime import KnownDims
from graphmem.ir.types import TensorType
from graphmem.measure.rewrite import Call, execution_order

SMALL_BYTES = 1 << 19  # payloads kept: shapes, axes, scales; the reader computes with no more than 64 Ki integers


@dataclass(slots=True)
class Unpacked:
    """`model` is a serialized ModelProto with its nodes in default execution order; the rest as in RuntimeGraph."""

    model: bytes = b""
    priority: tuple[int, ...] = ()
    known: dict[str, KnownDims] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)


def unpacked(data: bytes, types: Mapping[str, TensorType]) -> Unpacked:
    """The model in `data`; where ONNX Runtime leaves a shape open, that of `types` is written, if it is there."""
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import InferenceSession

    return _Unpacker(types).model(InferenceSession.GetRootAsInferenceSession(data, 0).Model())


def _rows(table: Any, name: str) -> list[Any]:
    get = getattr(table, name)
    return [get(i) for i in range(getattr(table, name + "Length")())]


def _names(table: Any, name: str) -> list[str]:
    return [row.decode() for row in _rows(table, name)]


class _Unpacker:
    """One file being taken apart; bodies of control-flow nodes add to the same tables."""

    def __init__(self, types: Mapping[str, TensorType]) -> None:
        self.types = types
        self.found = Unpacked()

    def model(self, table: Any) -> Unpacked:
        import onnx

        proto = onnx.ModelProto(ir_version=table.IrVersion())
        for row in _rows(table, "OpsetImport"):
            proto.opset_import.add(domain=row.Domain().decode(), version=row.Version())
        self.graph(table.Graph(), proto.graph)
        self.found.model = proto.SerializeToString()
        return self.found

    def graph(self, table: Any, proto: Any) -> None:
        """Fill the GraphProto from the table; nodes in execution order."""
        proto.name = "graph"
        infos = {row.Name().decode(): row for row in _rows(table, "NodeArgs")}
        nodes = sorted(_rows(table, "Nodes"), key=lambda node: int(node.Index()))
        inputs, outputs = _names(table, "Inputs"), _names(table, "Outputs")
        for name, row in infos.items():
            self.value_info(name, row, proto.value_info.add())
        for target, names in ((proto.input, inputs), (proto.output, outputs)):
            for name in names:
                self.value_info(name, infos.get(name), target.add())
        for row in _rows(table, "Initializers"):
            _tensor(row, proto.initializer.add())
        for row in _rows(table, "SparseInitializers"):
            _sparse(row, proto.initializer.add())
        self.number(inputs, nodes, outputs)
        calls = [
            Call(
                node.OpType().decode(),
                (*_names(node, "Inputs"), *_names(node, "ImplicitInputs")),
                tuple(_names(node, "Outputs")),
            )
            for node in nodes
        ]
        order = execution_order(calls, "default")
        place = {position: i for i, position in enumerate(order)}
        for position in order:
            self.node(nodes[position], proto.node.add())
        self.found.priority = tuple(place[position] for position in execution_order(calls, "priority"))

    def number(self, inputs: list[str], nodes: list[Any], outputs: list[str]) -> None:
        """Number the values as session_state.cc does (CreateGraphInfo): inputs, then names as nodes mention them."""
        mentioned = [
            n for node in nodes for kind in ("Inputs", "ImplicitInputs", "Outputs") for n in _names(node, kind)
        ]
        ordered = dict.fromkeys(name for name in (*inputs, *mentioned, *outputs) if name)
        for number, name in enumerate(ordered):
            self.found.numbers.setdefault(name, number)

    def node(self, table: Any, proto: Any) -> None:
        proto.name = (table.Name() or b"").decode()
        proto.op_type = table.OpType().decode()
        proto.domain = (table.Domain() or b"").decode()
        proto.input.extend(_names(table, "Inputs"))
        proto.output.extend(_names(table, "Outputs"))
        for row in _rows(table, "Attributes"):
            self.attribute(row, proto.attribute.add())

    def attribute(self, table: Any, proto: Any) -> None:
        proto.name, proto.type = table.Name().decode(), table.Type()
        if proto.type == 1:
            proto.f = table.F()
        elif proto.type == 2:
            proto.i = table.I()
        elif proto.type == 3:
            proto.s = table.S() or b""
        elif proto.type == 4:
            _tensor(table.T(), proto.t)
        elif proto.type == 5:
            self.graph(table.G(), proto.g)
        elif proto.type == 6:
            proto.floats.extend(_rows(table, "Floats"))
        elif proto.type == 7:
            proto.ints.extend(_rows(table, "Ints"))
        elif proto.type == 8:
            proto.strings.extend(_rows(table, "Strings"))

    def value_info(self, name: str, table: Any, proto: Any) -> None:
        """Type of one value: what ONNX Runtime knows, or what the original graph says of the same name."""
        proto.name = name
        described = None if table is None else table.Type()
        if described is not None and described.ValueType() == 1:
            element, dims = _tensor_type(described)
            proto.type.tensor_type.elem_type = element
            if dims is not None:
                self.found.known.setdefault(name, dims)
            fallback = self.types.get(name)
            if fallback is not None and (dims is None or not all(isinstance(d, int) for d in dims)):
                dims = fallback.shape
            for dim in dims if dims is not None else ():
                row = proto.type.tensor_type.shape.dim.add()
                if isinstance(dim, int):
                    row.dim_value = dim
                elif dim:
                    row.dim_param = dim
            if dims == ():
                proto.type.tensor_type.shape.SetInParent()
        elif described is not None and described.ValueType() == 2:
            _sequence(described, proto.type.sequence_type.elem_type)


def _tensor_type(table: Any) -> tuple[int, KnownDims | None]:
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.TensorTypeAndShape import TensorTypeAndShape

    type_ = TensorTypeAndShape()
    type_.Init(table.Value().Bytes, table.Value().Pos)
    shape = type_.Shape()
    if shape is None:
        return int(type_.ElemType()), None
    return int(type_.ElemType()), tuple(_dim(row.Value()) for row in _rows(shape, "Dim"))


def _dim(value: Any) -> int | str | None:
    if value.DimType() == 1:
        return int(value.DimValue()) if value.DimValue() >= 0 else None
    return ((value.DimParam() or b"").decode() or None) if value.DimType() == 2 else None


def _sequence(table: Any, proto: Any) -> None:
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.SequenceType import SequenceType

    type_ = SequenceType()
    type_.Init(table.Value().Bytes, table.Value().Pos)
    element = type_.ElemType()
    if element is not None and element.ValueType() == 1:
        proto.tensor_type.elem_type = _tensor_type(element)[0]


def _tensor(table: Any, proto: Any) -> None:
    """An initializer: its payload when small, else only its type and a place where nothing is."""
    proto.name = (table.Name() or b"").decode()
    proto.data_type = table.DataType()
    proto.dims.extend(int(table.Dims(i)) for i in range(table.DimsLength()))
    if not table.StringDataIsNone():
        proto.string_data.extend(_rows(table, "StringData"))
    elif not table.RawDataIsNone() and table.RawDataLength() <= SMALL_BYTES:
        proto.raw_data = table.RawDataAsNumpy().tobytes()
    elif not table.RawDataIsNone() or table.ExternalDataOffset() >= 0:
        proto.data_location = 1
        proto.external_data.add(key="location", value="not-kept")
    else:
        proto.raw_data = b""


def _sparse(table: Any, proto: Any) -> None:
    _tensor(table.Values(), proto)
    del proto.dims[:]
    proto.dims.extend(int(table.Dims(i)) for i in range(table.DimsLength()))
    proto.ClearField("raw_data")
    proto.data_location = 1
    proto.external_data.add(key="location", value="not-kept")
