"""ONNX operator -> ATen call, one row each: UNARY for plain renamings, CONVERTERS for what takes arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphmem.ir.graph import Node
from graphmem.ir.program import Ref
from graphmem.ir.types import TensorType
from graphmem.raising import layers
from graphmem.raising.draft import Draft
from graphmem.raising.operands import integers, is_weight, number, operand, operands, tensor_operand

Converter = Callable[[Draft, Node], None]

UNARY = {
    "Greater": "gt", "GreaterOrEqual": "ge", "Less": "lt", "LessOrEqual": "le", "Equal": "eq", "Not": "logical_not",
    "And": "logical_and", "Or": "logical_or", "Xor": "logical_xor", "LeakyRelu": "leaky_relu",
    "HardSigmoid": "hardsigmoid",
    "HardSwish": "hardswish", "IsNaN": "isnan", "IsInf": "isinf", "Max": "maximum", "Min": "minimum",
    "Identity": "alias",
    "Asinh": "asinh", "Swish": "silu", "QuickGelu": "silu",
}  # fmt: skip


def _plain(target: str, *extra: Any) -> Converter:
    """First input only, then fixed arguments."""
    return lambda d, n: d.emit(target, (operand(d, n.inputs[0]), *extra), n.writes[:1], n.origin)


def _folded(target: str) -> Converter:
    """An operator over any number of inputs -> a chain of calls on two, as a + b + c is in PyTorch."""

    def run(draft: Draft, node: Node) -> None:
        first, *others = [operand(draft, name) for name in node.inputs if name]
        type_ = draft.type_of(node.outputs[0])
        for i, other in enumerate(others):
            name = node.outputs[0] if i == len(others) - 1 else f"{node.outputs[0]}#{i}"
            draft.emit(target, (first, other), (name,), node.origin, (type_,) if type_ else ())
            first = Ref(name)
        if not others:
            draft.emit("aten.alias", (first,), node.writes, node.origin)

    return run


def _axes(draft: Draft, node: Node) -> list[int] | None:
    if "axes" in node.attributes:
        return list(node.attributes["axes"])
    return integers(draft, node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] else None


def _reduction(target: str) -> Converter:
    def run(draft: Draft, node: Node) -> None:
        keep = bool(node.attributes.get("keepdims", 1))
        args: tuple[Any, ...] = (operand(draft, node.inputs[0]), _axes(draft, node), keep)
        if target == "aten.linalg_vector_norm":
            args = (args[0], 1 if node.standard_type == "ReduceL1" else 2, *args[1:])
        draft.emit(target, args, node.writes, node.origin)

    return run


def _axis(target: str, default: int) -> Converter:
    def run(draft: Draft, node: Node) -> None:
        axis = node.attributes.get("axis", default)
        draft.emit(target, (operand(draft, node.inputs[0]), axis), node.writes, node.origin)

    return run


def _gather(draft: Draft, node: Node) -> None:
    axis, index = node.attributes.get("axis", 0), number(draft, node.inputs[1])
    scalar = draft.type_of(node.inputs[1])
    x = operand(draft, node.inputs[0])
    if index is not None and scalar is not None and not scalar.shape:
        draft.emit("aten.select", (x, axis, int(index)), node.writes, node.origin)
    elif is_weight(draft, node.inputs[0]) and axis == 0:
        draft.emit("aten.embedding", (x, tensor_operand(draft, node.inputs[1])), node.writes, node.origin)
    else:
        draft.emit("aten.index", (x, [None] * axis + [tensor_operand(draft, node.inputs[1])]), node.writes, node.origin)


def _slice(draft: Draft, node: Node) -> None:
    """One narrowed view per sliced axis; axes that are taken whole are left out."""
    before, after = draft.type_of(node.inputs[0]), draft.type_of(node.outputs[0])
    steps = integers(draft, node.inputs[4]) if len(node.inputs) > 4 and node.inputs[4] else None
    value = operand(draft, node.inputs[0])
    if before is None or after is None:
        draft.emit("aten.slice", (value,), node.writes, node.origin)
        return
    axes = [i for i, (a, b) in enumerate(zip(before.shape, after.shape, strict=True)) if a != b]
    shape = list(before.shape)
    for i, axis in enumerate(axes or [0]):
        shape[axis] = after.shape[axis]
        last = i == len(axes or [0]) - 1
        name = node.outputs[0] if last else f"{node.outputs[0]} axis {axis}"
        type_ = TensorType(after.dtype, tuple(shape))
        draft.emit("aten.slice", (value, axis, None, None, (steps or [1])[0]), (name,), node.origin, (type_,))
        value = Ref(name)


def _split(draft: Draft, node: Node) -> None:
    axis = node.attributes.get("axis", 0)
    sizes = [t.shape[axis] if (t := draft.type_of(name)) else 1 for name in node.writes]
    draft.emit("aten.split_with_sizes", (operand(draft, node.inputs[0]), sizes, axis), node.writes, node.origin)


def _pad(draft: Draft, node: Node) -> None:
    pads = list(
        node.attributes.get("pads") or (integers(draft, node.inputs[1]) if len(node.inputs) > 1 else None) or []
    )
    half = len(pads) // 2
    flat = [value for i in reversed(range(half)) for value in (pads[i], pads[half + i])]
    while len(flat) > 2 and flat[-2:] == [0, 0]:
        flat = flat[:-2]
    mode = node.attributes.get("mode", "constant")
    name = {"constant": "constant_pad_nd", "reflect": f"reflection_pad{len(flat) // 2}d"}
    target = name.get(mode, f"replication_pad{len(flat) // 2}d")
    draft.emit(f"aten.{target}", (operand(draft, node.inputs[0]), flat), node.writes, node.origin)


def _clip(draft: Draft, node: Node) -> None:
    bounds = [node.attributes.get("min"), node.attributes.get("max")]
    for i in (1, 2):
        if len(node.inputs) > i and node.inputs[i]:
            bounds[i - 1] = number(draft, node.inputs[i])
    target = "aten.hardtanh" if None not in bounds else "aten.clamp"
    draft.emit(target, (operand(draft, node.inputs[0]), *bounds), node.writes, node.origin)


def _cast(draft: Draft, node: Node) -> None:
    type_ = draft.type_of(node.outputs[0])
    draft.emit(
        "aten._to_copy",
        (operand(draft, node.inputs[0]),),
        node.writes,
        node.origin,
        dtype=type_.dtype if type_ else None,
    )


def _first_ints(target: str) -> Converter:
    def run(draft: Draft, node: Node) -> None:
        ints = integers(draft, node.inputs[1]) if len(node.inputs) > 1 else None
        draft.emit(target, (operand(draft, node.inputs[0]), ints or []), node.writes[:1], node.origin)

    return run


def _squeeze(target: str) -> Converter:
    def run(draft: Draft, node: Node) -> None:
        value = operand(draft, node.inputs[0])
        axes = _axes(draft, node)
        if target == "aten.squeeze":
            draft.emit(target, (value, axes), node.writes, node.origin)
            return
        type_ = draft.type_of(node.outputs[0])
        draft.emit("aten.view", (value, list(type_.shape) if type_ else []), node.writes, node.origin)

    return run


def _transpose(draft: Draft, node: Node) -> None:
    type_ = draft.type_of(node.inputs[0])
    order = node.attributes.get("perm") or tuple(reversed(range(len(type_.shape) if type_ else 0)))
    draft.emit("aten.permute", (operand(draft, node.inputs[0]), list(order)), node.writes, node.origin)


def _concat(draft: Draft, node: Node) -> None:
    draft.emit("aten.cat", (operands(draft, node), node.attributes.get("axis", 0)), node.writes, node.origin)


def _indexed(target: str) -> Converter:
    def run(draft: Draft, node: Node) -> None:
        x, index, *rest = (tensor_operand(draft, name) for name in node.inputs if name)
        axis = node.attributes.get("axis", 0)
        args = (x, [index], *rest) if target in ("aten.index", "aten.index_put") else (x, axis, index, *rest)
        draft.emit(target, args, node.writes, node.origin)

    return run


def _topk(draft: Draft, node: Node) -> None:
    k = number(draft, node.inputs[1])
    draft.emit(
        "aten.topk", (operand(draft, node.inputs[0]), k, node.attributes.get("axis", -1)), node.writes, node.origin
    )


def _einsum(draft: Draft, node: Node) -> None:
    draft.emit("aten.einsum", (node.attributes.get("equation", ""), operands(draft, node)), node.writes, node.origin)


def _filled(draft: Draft, node: Node) -> None:
    type_ = draft.type_of(node.outputs[0])
    draft.emit("aten.full", (list(type_.shape) if type_ else [],), node.writes, node.origin)


CONVERTERS: dict[str, Converter] = {
    "Attention": layers.attention, "AveragePool": layers.pool("avg"), "Cast": _cast, "CastLike": _cast, "Clip": _clip,
    "Concat": _concat, "ConstantOfShape": _filled, "CumSum": _plain("aten.cumsum", 0),
    "Einsum": _einsum,
    "DepthToSpace": _plain("aten.pixel_shuffle", 2), "Dropout": layers.dropout, "Expand": _first_ints("aten.expand"),
    "Flatten": _first_ints("aten.view"), "GRU": layers.recurrent("gru", 3), "Gather": _gather,
    "GatherElements": _indexed("aten.gather"), "GatherND": _indexed("aten.index"), "Gelu": _plain("aten.gelu"),
    "Gemm": layers.gemm, "GlobalAveragePool": layers.global_pool, "GlobalMaxPool": layers.global_pool,
    "GroupNormalization": layers.group_norm,
    "InstanceNormalization": layers.instance_norm, "LRN": _plain("aten.local_response_norm", 5),
    "LSTM": layers.recurrent("lstm", 4),
    "LayerNormalization": layers.norm_like, "LogSoftmax": _axis("aten.log_softmax", -1), "MatMul": layers.matmul,
    "MaxPool": layers.pool("max"), "NegativeLogLikelihoodLoss": layers.loss, "PRelu": layers.prelu, "Pad": _pad,
    "RMSNormalization": layers.norm_like,
    "RNN": layers.recurrent("rnn_tanh", 1), "Range": _filled, "ReduceL1": _reduction("aten.linalg_vector_norm"),
    "ReduceL2": _reduction("aten.linalg_vector_norm"), "ReduceLogSumExp": _reduction("aten.logsumexp"),
    "ReduceMax": _reduction("aten.amax"), "ReduceMean": _reduction("aten.mean"), "ReduceMin": _reduction("aten.amin"),
    "ReduceProd": _reduction("aten.prod"), "ReduceSum": _reduction("aten.sum"), "Reshape": _first_ints("aten.view"),
    "Resize": layers.resize, "ScatterElements": _indexed("aten.scatter"), "ScatterND": _indexed("aten.index_put"),
    "Slice": _slice, "Softmax": _axis("aten.softmax", -1), "SoftmaxCrossEntropyLoss": layers.loss,
    "SpaceToDepth": _plain("aten.pixel_unshuffle", 2), "Split": _split, "Squeeze": _squeeze("aten.squeeze"),
    "Sum": _folded("aten.add"), "Max": _folded("aten.maximum"), "Min": _folded("aten.minimum"),
    "Tile": _first_ints("aten.repeat"), "TopK": _topk, "Transpose": _transpose, "Unsqueeze": _squeeze("aten.view"),
    "Upsample": layers.resize,
}  # fmt: skip
