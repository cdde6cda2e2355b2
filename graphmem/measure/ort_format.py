"""Bytes of an ORT-format file -> ModelProto without weights, and what only this format tells.

ONNX Runtime's own file format keeps what its ONNX export drops: the number of each node and the shape that it knows of
each value, which are just what its memory planner goes by. Fields have the numbers of onnxruntime's schema
(onnxruntime/core/flatbuffers/schema/ort.fbs), which only ever grows at its ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graphmem.ir.runtime import KnownDims
from graphmem.ir.types import TensorType
from graphmem.measure.flatbuffer import Buffer, Table
from graphmem.measure.rewrite import Call, execution_order

SMALL_BYTES = 1 << 19  # payloads kept: shapes, axes, scales; the reader computes with no more than 64 Ki integers

SESSION_MODEL = 1
IR_VERSION, OPSETS, _, _, _, _, _, GRAPH = range(8)  # of a Model
OPSET_DOMAIN, OPSET_VERSION = range(2)
INITIALIZERS, NODE_ARGS, NODES, _, _, INPUTS, OUTPUTS, SPARSE_INITIALIZERS = range(8)  # of a Graph
NODE_NAME, _, DOMAIN, _, INDEX, OP_TYPE, _, _, READS, WRITES, ATTRIBUTES, _, IMPLICIT_READS = range(13)
VALUE_NAME, _, VALUE_TYPE = range(3)
_, KIND, CONTENT = range(3)  # of a TypeInfo; the kinds are:
TENSOR_KIND, SEQUENCE_KIND = 1, 2
ELEMENT, SHAPE = range(2)  # of a tensor type; a sequence type has only the first
DIM_VALUE = 0  # of a Dimension, in turn:
DIM_KIND, DIM_NUMBER, DIM_SYMBOL = range(3)
TENSOR_NAME, _, DIMS, DATA_TYPE, RAW_DATA, STRING_DATA, EXTERNAL_OFFSET = range(7)
SPARSE_VALUES, _, SPARSE_DIMS = range(3)
ATTRIBUTE_NAME, _, ATTRIBUTE_TYPE, FLOAT, INT, TEXT, TENSOR, BODY, FLOATS, INTS, TEXTS = range(11)


@dataclass(slots=True)
class Unpacked:
    """`model` is a serialized ModelProto with its nodes in default execution order; the rest as in RuntimeGraph."""

    model: bytes = b""
    priority: tuple[int, ...] = ()
    known: dict[str, KnownDims] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)


def unpacked(data: bytes, types: Mapping[str, TensorType]) -> Unpacked:
    """The model in `data`; where ONNX Runtime leaves a shape open, that of `types` is written, if it is there."""
    model = Buffer(data).root.table(SESSION_MODEL)
    assert model is not None, "onnxruntime writes a model"
    return _Unpacker(types).model(model)


class _Node(NamedTuple):
    table: Table
    reads: list[str]
    implicit: list[str]
    writes: list[str]


class _Unpacker:
    """One file being taken apart; bodies of control-flow nodes add to the same tables."""

    def __init__(self, types: Mapping[str, TensorType]) -> None:
        self.types = types
        self.found = Unpacked()

    def model(self, table: Table) -> Unpacked:
        import onnx

        proto = onnx.ModelProto(ir_version=table.number(IR_VERSION, "q"))
        for row in table.tables(OPSETS):
            proto.opset_import.add(domain=row.text(OPSET_DOMAIN), version=row.number(OPSET_VERSION, "q"))
        graph = table.table(GRAPH)
        assert graph is not None, "onnxruntime writes a graph"
        self.graph(graph, proto.graph)
        self.found.model = proto.SerializeToString()
        return self.found

    def graph(self, table: Table, proto: Any) -> None:
        """Fill the GraphProto from the table; nodes in execution order."""
        proto.name = "graph"
        infos = {row.text(VALUE_NAME): row for row in table.tables(NODE_ARGS)}
        rows = sorted(table.tables(NODES), key=lambda row: int(row.number(INDEX, "I")))
        nodes = [_Node(row, row.texts(READS), row.texts(IMPLICIT_READS), row.texts(WRITES)) for row in rows]
        inputs, outputs = table.texts(INPUTS), table.texts(OUTPUTS)
        for name, row in infos.items():
            self.value_info(name, row, proto.value_info.add())
        for target, names in ((proto.input, inputs), (proto.output, outputs)):
            for name in names:
                self.value_info(name, infos.get(name), target.add())
        for row in table.tables(INITIALIZERS):
            _tensor(row, proto.initializer.add())
        for row in table.tables(SPARSE_INITIALIZERS):
            _sparse(row, proto.initializer.add())
        self.number(inputs, nodes, outputs)
        calls = [Call(node.table.text(OP_TYPE), (*node.reads, *node.implicit), tuple(node.writes)) for node in nodes]
        order = execution_order(calls, "default")
        place = {position: i for i, position in enumerate(order)}
        for position in order:
            self.node(nodes[position], proto.node.add())
        self.found.priority = tuple(place[position] for position in execution_order(calls, "priority"))

    def number(self, inputs: Sequence[str], nodes: Sequence[_Node], outputs: Sequence[str]) -> None:
        """Number the values as session_state.cc does (CreateGraphInfo): inputs, then names as nodes mention them."""
        mentioned = [name for node in nodes for name in (*node.reads, *node.implicit, *node.writes)]
        ordered = dict.fromkeys(name for name in (*inputs, *mentioned, *outputs) if name)
        for number, name in enumerate(ordered):
            self.found.numbers.setdefault(name, number)

    def node(self, node: _Node, proto: Any) -> None:
        proto.name = node.table.text(NODE_NAME)
        proto.op_type = node.table.text(OP_TYPE)
        proto.domain = node.table.text(DOMAIN)
        proto.input.extend(node.reads)
        proto.output.extend(node.writes)
        for row in node.table.tables(ATTRIBUTES):
            self.attribute(row, proto.attribute.add())

    def attribute(self, table: Table, proto: Any) -> None:
        proto.name, proto.type = table.text(ATTRIBUTE_NAME), table.number(ATTRIBUTE_TYPE, "i")
        if proto.type == 1:
            proto.f = table.number(FLOAT, "f", 0.0)
        elif proto.type == 2:
            proto.i = table.number(INT, "q")
        elif proto.type == 3:
            proto.s = table.bytes_(TEXT)
        elif proto.type == 4 and (tensor := table.table(TENSOR)) is not None:
            _tensor(tensor, proto.t)
        elif proto.type == 5 and (body := table.table(BODY)) is not None:
            self.graph(body, proto.g)
        elif proto.type == 6:
            proto.floats.extend(table.numbers(FLOATS, "f"))
        elif proto.type == 7:
            proto.ints.extend(table.numbers(INTS, "q"))
        elif proto.type == 8:
            proto.strings.extend(text.encode() for text in table.texts(TEXTS))

    def value_info(self, name: str, table: Table | None, proto: Any) -> None:
        """Type of one value: what ONNX Runtime knows, or what the original graph says of the same name."""
        proto.name = name
        described = None if table is None else table.table(VALUE_TYPE)
        content = None if described is None else described.table(CONTENT)
        kind = 0 if described is None else described.number(KIND, "B")
        if kind == TENSOR_KIND and content is not None:
            element, dims = _tensor_type(content)
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
        elif kind == SEQUENCE_KIND and content is not None:
            _sequence(content, proto.type.sequence_type.elem_type)


def _tensor_type(table: Table) -> tuple[int, KnownDims | None]:
    shape = table.table(SHAPE)
    element = int(table.number(ELEMENT, "i"))
    return element, None if shape is None else tuple(_dim(row.table(DIM_VALUE)) for row in shape.tables(0))


def _dim(value: Table | None) -> int | str | None:
    kind = 0 if value is None else value.number(DIM_KIND, "b")
    if value is None or kind not in (1, 2):
        return None
    if kind == 1:
        size = int(value.number(DIM_NUMBER, "q"))
        return size if size >= 0 else None
    return value.text(DIM_SYMBOL) or None


def _sequence(table: Table, proto: Any) -> None:
    element = table.table(ELEMENT)
    content = None if element is None else element.table(CONTENT)
    if element is not None and content is not None and element.number(KIND, "B") == TENSOR_KIND:
        proto.tensor_type.elem_type = _tensor_type(content)[0]


def _tensor(table: Table, proto: Any) -> None:
    """An initializer: its payload when small, else only its type and a place where nothing is."""
    proto.name = table.text(TENSOR_NAME)
    proto.data_type = table.number(DATA_TYPE, "i")
    proto.dims.extend(table.numbers(DIMS, "q"))
    if table.has(STRING_DATA):
        proto.string_data.extend(text.encode() for text in table.texts(STRING_DATA))
    elif table.has(RAW_DATA) and table.count(RAW_DATA) <= SMALL_BYTES:
        proto.raw_data = table.bytes_(RAW_DATA)
    elif table.has(RAW_DATA) or table.number(EXTERNAL_OFFSET, "q", -1) >= 0:
        proto.data_location = 1
        proto.external_data.add(key="location", value="not-kept")
    else:
        proto.raw_data = b""


def _sparse(table: Table, proto: Any) -> None:
    values = table.table(SPARSE_VALUES)
    assert values is not None, "a sparse initializer has values"
    _tensor(values, proto)
    del proto.dims[:]
    proto.dims.extend(table.numbers(SPARSE_DIMS, "q"))
    proto.ClearField("raw_data")
    proto.data_location = 1
    proto.external_data.add(key="location", value="not-kept")
