"""ModelProto -> the graph as written in ONNX Runtime's order, for models too large for it to save.

Nothing of onnxruntime is used. Shapes known at load are those of plain shape inference, which is close to its own but
not the same; the order is that of `ORT_DISABLE_ALL`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphmem.ir.runtime import KnownDims
from graphmem.ir.types import Shape
from graphmem.measure.order import Call, execution_order


@dataclass(slots=True)
class Plain:
    """As measure.ort_format.Unpacked."""

    model: bytes = b""
    priority: tuple[int, ...] = ()
    known: dict[str, KnownDims] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)


def unoptimized(model: bytes, inputs: Mapping[str, Shape]) -> Plain:
    """The model with its nodes in execution order, its inputs having these shapes."""
    import onnx

    proto = onnx.ModelProto.FromString(model)
    for info in proto.graph.input:
        for dim, size in zip(info.type.tensor_type.shape.dim, inputs.get(info.name, ()), strict=False):
            dim.dim_value = size
    del proto.graph.value_info[:]
    proto = onnx.shape_inference.infer_shapes(proto)
    found = Plain()
    for info in (*proto.graph.input, *proto.graph.value_info, *proto.graph.output):
        if info.type.tensor_type.HasField("shape"):
            found.known[info.name] = tuple(_dim(dim) for dim in info.type.tensor_type.shape.dim)
    nodes = list(proto.graph.node)
    calls = [Call(node.op_type, tuple(node.input), tuple(node.output)) for node in nodes]
    names = [info.name for info in proto.graph.input]
    names += [name for node in nodes for name in (*node.input, *node.output) if name]
    found.numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    order = execution_order(calls, "default")
    place = {position: i for i, position in enumerate(order)}
    found.priority = tuple(place[position] for position in execution_order(calls, "priority"))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes[position] for position in order)
    found.model = proto.SerializeToString()
    return found


def _dim(dim: Any) -> int | str | None:
    if dim.HasField("dim_value"):
        return int(dim.dim_value)
    return dim.dim_param or None
