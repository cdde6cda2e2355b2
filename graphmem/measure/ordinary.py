"""ModelProto -> the bytes of its tensors after an ordinary run in onnxruntime; and a model of one node of it alone.

Inputs are made up from a seed. In a model of one node onnxruntime picks the kernel that it picks in the whole, so
weights stay weights: kernels repack constant operands, which can change the last bit, so what is an initializer in the
whole is one here, and what is computed from initializers is an input here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graphmem.ir.errors import InputError, ModelError
from graphmem.ir.graph import Graph, Node
from graphmem.ir.types import (
    BoundedType,
    MapType,
    OptionalType,
    SequenceType,
    Shape,
    TensorType,
    Type,
    UnknownType,
    packed_nbytes,
)

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
    if isinstance(type_, MapType):
        value = helper.make_tensor_type_proto(element_type(type_.value), ())
        return helper.make_map_type_proto(element_type(type_.key), value)
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


WHOLE = {"bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
INTEGERS_BELOW = 2  # made-up integers are 0 or 1: valid as indices, masks, counts and choices


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A dense tensor in memory that someone keeps: `address` of its first byte, and what lies there."""

    address: int
    type: TensorType
    keeper: object

    @property
    def content(self) -> bytes:
        """A copy of the bytes."""
        return ctypes.string_at(self.address, self.type.nbytes)


def session(model: bytes, what: str) -> Any:
    """A session without optimizations on one thread; ModelError says in one line what onnxruntime says."""
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise InputError("onnxruntime is not installed; install it with: pip install onnxruntime") from error
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # pybind raises one type per kind of failure, with no common root
        raise ModelError(f"onnxruntime does not take {what}: {' '.join(str(error).split())[:300]}") from error


def run(made: Any, binding: Any, what: str) -> None:
    """Run what is bound; ModelError in onnxruntime's words if it fails."""
    try:
        made.run_with_iobinding(binding)
    except Exception as error:  # as above
        raise ModelError(f"onnxruntime fails in {what}: {' '.join(str(error).split())[:300]}") from error


def bind_input(binding: Any, name: str, value: Any) -> None:
    """Bind a Value, or an OrtValue of onnxruntime's own."""
    if isinstance(value, Value):
        shape, kind = list(value.type.shape), element_type(value.type.dtype)
        binding.bind_input(name, "cpu", 0, kind, shape, value.address)
    else:
        binding.bind_ortvalue_input(name, value)


def value_of(made: Any, dtype: str) -> Value:
    """The tensor in an OrtValue."""
    shape: Shape = tuple(made.shape())
    return Value(made.data_ptr(), TensorType(dtype, shape), made)


def made_up_inputs(graph: Graph, seed: int) -> dict[str, Value]:
    """A value for every input of the graph; InputError where one is no tensor."""
    dice = np.random.default_rng(seed)
    found = {}
    for name in graph.inputs:
        type_ = graph.tensors[name].type
        if not isinstance(type_, TensorType):
            raise InputError(f"input '{name}' is a {type_}, for which no value can be made up")
        content = np.frombuffer(_content(type_, dice) or b"\0", dtype=np.uint8)
        found[name] = Value(content.ctypes.data, type_, content)
    return found


def _content(type_: TensorType, dice: np.random.Generator) -> bytes:
    count = type_.elements
    if type_.dtype in ("float16", "float32", "float64"):
        return dice.standard_normal(count).astype(type_.dtype).tobytes()
    if type_.dtype == "bfloat16":
        return (dice.standard_normal(count, dtype=np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()
    if type_.dtype in WHOLE:
        whole: NDArray[np.int64] = dice.integers(0, INTEGERS_BELOW, count)
        return whole.astype(type_.dtype).tobytes()
    return bytes(packed_nbytes(type_.dtype, count))


def ordinary(
    model: onnx.ModelProto, graph: Graph, feeds: Mapping[str, Value], names: Sequence[str]
) -> dict[str, Value]:
    """The named tensors of the graph as an ordinary run leaves them, whether they are outputs or not."""
    whole = type(model)()
    whole.CopyFrom(model)
    there = {info.name for info in whole.graph.output}
    for name in names:
        if name not in there:
            whole.graph.output.add(name=name)
    made = session(whole.SerializeToString(), "the model")
    binding = made.io_binding()
    for name, value in feeds.items():
        bind_input(binding, name, value)
    for info in made.get_outputs():
        binding.bind_output(info.name, "cpu")
    run(made, binding, "an ordinary run")
    results = dict(zip((info.name for info in made.get_outputs()), binding.get_outputs(), strict=True))
    return {name: value_of(results[name], str(graph.tensors[name].type.dtype)) for name in names}  # type: ignore[union-attr]
