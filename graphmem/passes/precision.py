"""(Graph, precision) -> the Graph of the same model run in that precision, with an issue that says what is assumed.

fp16, bf16        every float32 tensor, inputs included, in that type
int8, fp8, int4   weights of linear layers and convolutions in that type with scales, every other float32 tensor in fp16

Scales are float16 and symmetric (no zero points): one per output channel for int8 and fp8, one per output channel and
128 inputs for int4, as in weight-only quantization (GPTQ, AWQ; torchao's int8 and float8 weight-only). A layer's kernel
converts as it reads: no copy of a weight in float16 is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from graphmem.ir.graph import Graph, Issue, Node, Tensor
from graphmem.ir.types import (
    BoundedType,
    OptionalType,
    SequenceType,
    TensorType,
    Type,
    UnknownType,
)

GROUP = 128  # inputs that share a scale in int4


class _Form(NamedTuple):
    others: str  # type of everything that was float32
    weights: str = ""  # of quantized weights
    group: int = 0  # inputs that share a scale; all of a channel when 0


PRECISIONS: dict[str, _Form] = {
    "fp32": _Form(""),
    "fp16": _Form("float16"),
    "bf16": _Form("bfloat16"),
    "int8": _Form("float16", "int8"),
    "fp8": _Form("float16", "float8e4m3fn"),
    "int4": _Form("float16", "int4", GROUP),
}
# Axis of a weight's output channels, by operator and position of the operand; for Gemm without transB it is 1.
_CHANNELS = {("MatMul", 0): -2, ("MatMul", 1): -1, ("Gemm", 1): -1, ("Conv", 1): 0, ("ConvTranspose", 1): 1}


def in_precision(graph: Graph, precision: str) -> Graph:
    """The graph in a key of PRECISIONS; itself for fp32."""
    form = PRECISIONS[precision]
    if not form.others:
        return graph
    made, quantized = _converted(graph, form)
    what = f"every float32 tensor is taken as {form.others}"
    if form.weights:
        scale = f"per output channel and {form.group} inputs" if form.group else "per output channel"
        what = (
            f"{quantized} weights of linear layers and convolutions are taken as {form.weights} with a float16 scale "
            f"{scale}, every other float32 tensor as {form.others}; kernels convert weights as they read them"
        )
    return replace(made, issues=(*made.issues, Issue("assumption", f"--precision {precision}", what)))


def _converted(graph: Graph, form: _Form) -> tuple[Graph, int]:
    """The graph with new types, and how many weights were quantized in it and its bodies."""
    axes = _quantizable(graph) if form.weights else {}
    tensors: dict[str, Tensor] = {}
    for name, tensor in graph.tensors.items():
        if name in axes and isinstance(tensor.type, TensorType):
            shape = tensor.type.shape
            tensors[name] = replace(tensor, type=TensorType(form.weights, shape))
            tensors[f"{name}.scale"] = Tensor(f"{name}.scale", "weight", _scales(shape, axes[name], form.group))
        else:
            tensors[name] = replace(tensor, type=_retyped(tensor.type, form.others))
    count, nodes = len(axes), []
    for node in graph.nodes:
        bodies = []
        for label, body in node.bodies:
            made, inside = _converted(body, form)
            bodies.append((label, made))
            count += inside if "#" not in label else 0
        nodes.append(replace(node, bodies=tuple(bodies)))
    return replace(graph, nodes=tuple(nodes), tensors=tensors), count


def _scales(shape: tuple[int, ...], axis: int, group: int) -> TensorType:
    channels = shape[axis]
    inputs = 1
    for i, size in enumerate(shape):
        inputs *= size if i != axis % len(shape) else 1
    return TensorType("float16", (channels, -(-inputs // group) if group else 1))


def _retyped(type_: Type, dtype: str) -> Type:
    if isinstance(type_, SequenceType):
        elements = None if type_.elements is None else tuple(_retyped(e, dtype) for e in type_.elements)
        return SequenceType(_retyped(type_.element, dtype), elements)
    if isinstance(type_, OptionalType):
        return replace(type_, element=_retyped(type_.element, dtype))
    if isinstance(type_, TensorType | BoundedType | UnknownType) and type_.dtype == "float32":
        return replace(type_, dtype=dtype)
    return type_


def _quantizable(graph: Graph) -> Mapping[str, int]:
    """Float weights of at least two dimensions that a linear layer or convolution reads -> axis of the channels.

    A weight that nodes make of others before the run (a transposed one) is followed to what it is made of.
    """
    makers = {name: node for node in graph.nodes for name in node.writes if graph.is_weight(node)}
    found: dict[str, int] = {}
    for node in graph.nodes:
        for position, name in enumerate(node.inputs):
            axis = _axis(node, position)
            while axis is not None and _is_float_matrix(graph, name):
                found.setdefault(name, axis)
                maker = makers.get(name)
                if maker is None or maker.standard_type not in ("Transpose", "Identity"):
                    break
                axis = _through(maker, axis, graph)
                name = maker.inputs[0]  # noqa: PLW2901 (the walk upwards)
    return found


def _axis(node: Node, position: int) -> int | None:
    if node.standard_type == "Gemm" and position == 1 and node.attributes.get("transB"):
        return 0
    return _CHANNELS.get((node.standard_type, position))


def _through(maker: Node, axis: int, graph: Graph) -> int:
    """The axis of the channels in the operand of a node that turns a weight."""
    type_ = graph.tensors[maker.inputs[0]].type
    rank = len(type_.shape) if isinstance(type_, TensorType) else 2
    if maker.standard_type == "Identity":
        return axis
    order = list(maker.attributes.get("perm") or range(rank - 1, -1, -1))
    return int(order[axis % rank])


def _is_float_matrix(graph: Graph, name: str) -> bool:
    tensor = graph.tensors.get(name)
    if tensor is None or tensor.role != "weight" or not isinstance(tensor.type, TensorType):
        return False
    return tensor.type.dtype in ("float32", "float16", "bfloat16") and len(tensor.type.shape) >= 2
