"""ModelProto, Node -> a model of that node alone, in which onnxruntime picks the kernel that it picks in the whole.

Weights stay weights: kernels repack constant operands, which can change the last bit, so what is an initializer in the
whole is one here, and what is computed from initializers is an input here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphmem.ir.graph import Graph, Node
from graphmem.ir.types import BoundedType, OptionalType, SequenceType, TensorType, Type, UnknownType

if TYPE_CHECKING:
    import onnx

FIRST_IR_WITH_CONSTANT_INITIALIZERS = 4  # before, every initializer is an input too, and constant all the same
NAMES = {"float32": "FLOAT", "float64": "DOUBLE"}  # ours -> TensorProto.DataType, where more than the case differs


def element_type(dtype: str) -> int:
    """TensorProto.DataType of our name of it."""
    import onnx

    return int(onnx.TensorProto.DataType.Value(NAMES.get(dtype, dtype.upper())))


def type_proto(type_: Type) -> onnx.TypeProto:
    """The type as ONNX writes it; shapes only where they are exact."""
    from onnx import helper

    if isinstance(type_, TensorType):
        return helper.make_tensor_type_proto(element_type(type_.dtype), type_.shape)
    if isinstance(type_, SequenceType):
        return helper.make_sequence_type_proto(type_proto(type_.element))
    if isinstance(type_, OptionalType):
        return helper.make_optional_type_proto(type_proto(type_.element))
    rank = len(type_.high) if isinstance(type_, BoundedType) else None
    assert not isinstance(type_, UnknownType) or type_.dtype is not None
    return helper.make_tensor_type_proto(element_type(str(type_.dtype)), None if rank is None else [None] * rank)


class NodeModels:
    """Cuts models of one node out of a whole."""

    def __init__(self, model: onnx.ModelProto, graph: Graph) -> None:
        self.graph = graph
        self._protos = {name: node for node in model.graph.node for name in node.output if name}
        has_overridable = model.ir_version >= FIRST_IR_WITH_CONSTANT_INITIALIZERS
        overridable = {info.name for info in model.graph.input} if has_overridable else set()
        self._constants = {t.name: t for t in model.graph.initializer if t.name not in overridable}
        self.overridable = tuple(t for t in model.graph.initializer if t.name in overridable)
        self._constant_nodes = {n.output[0]: n for n in model.graph.node if is_constant(n)}
        self._ir_version = max(model.ir_version, FIRST_IR_WITH_CONSTANT_INITIALIZERS)
        self._opsets = list(model.opset_import)

    def is_constant(self, name: str) -> bool:
        """Whether models of one node carry the tensor's value inside."""
        return name in self._constants or name in self._constant_nodes

    def inputs_of(self, node: Node) -> tuple[str, ...]:
        """What the model of the node wants to be given, captured names included."""
        return tuple(name for name in node.reads if not self.is_constant(name))

    def of(self, node: Node) -> bytes:
        """The serialized model: the node, its constants inside, its other reads as inputs, its writes as outputs."""
        from onnx import helper

        carried = [self._constant_nodes[name] for name in node.reads if name in self._constant_nodes]
        graph = helper.make_graph(
            [*carried, self._protos[node.writes[0]]],
            "one node",
            self._infos(self.inputs_of(node)),
            [helper.make_value_info(name, type_proto(self._loose(name))) for name in node.writes],
            [self._constants[name] for name in node.reads if name in self._constants],
        )
        made = helper.make_model(graph, opset_imports=self._opsets, ir_version=self._ir_version)
        return bytes(made.SerializeToString())

    def _infos(self, names: tuple[str, ...]) -> list[onnx.ValueInfoProto]:
        from onnx import helper

        return [helper.make_value_info(name, type_proto(self.graph.tensors[name].type)) for name in names]

    def _loose(self, name: str) -> Type:
        """The type without a shape: onnxruntime works it out, and branches may each have their own."""
        type_ = self.graph.tensors[name].type
        return UnknownType(type_.dtype) if isinstance(type_, TensorType | BoundedType) else type_


def is_constant(node: onnx.NodeProto) -> bool:
    """Whether onnxruntime turns the node into an initializer as it loads the model."""
    return node.op_type == "Constant" and not node.domain
