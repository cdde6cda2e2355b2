"""ONNX operator -> ATen call, one row each: UNARY for plain renamings, CONVERTERS for what takes arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphmem.autograd.program import Ref
from graphmem.autograd.raising.draft import Draft, is_named
from graphmem.autograd.raising.operands import integers, is_weight, linear_weight, number, operand
from graphmem.ir.graph import Node
from graphmem.ir.types import TensorType

Converter = Callable[[Draft, Node], None]

UNARY = {
    "Greater": "gt", "GreaterOrEqual": "ge", "Less": "lt", "LessOrEqual": "le", "Equal": "eq", "Not": "logical_not",
    "And": "logical_and", "Or": "logical_or", "Xor": "logical_xor", "LeakyRelu": "leaky_relu",
    "HardSigmoid": "hardsigmoid",
    "HardSwish": "hardswish", "IsNaN": "isnan", "IsInf": "isinf", "Max": "maximum", "Min": "minimum",
    "Identity": "alias",
    "Asinh": "asinh", "Swish": "silu", "QuickGelu": "silu",
}  # fmt: skip


def _args(draft: Draft, node: Node) -> list[Any]:
    return [operand(draft, name) for name in node.inputs if name]


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
            args = (args[0], 1 if node.op_type == "ReduceL1" else 2, *args[1:])
        draft.emit(target, args, node.writes, node.origin)

    return run


def _axis(target: str, default: int) -> Converter:
    def run(draft: Draft, node: Node) -> None:
        axis = node.attributes.get("axis", default)
        draft.emit(target, (operand(draft, node.inputs[0]), axis), node.writes, node.origin)

    return run


def _gemm(draft: Draft, node: Node) -> None:
    x = operand(draft, node.inputs[0])
    bias = operand(draft, node.inputs[2]) if len(node.inputs) > 2 else None
    if node.attributes.get("transB") and not node.attributes.get("transA"):
        draft.emit("aten.linear", (x, operand(draft, node.inputs[1]), bias), node.writes, node.origin)
    elif bias is None:
        draft.emit("aten.mm", (x, operand(draft, node.inputs[1])), node.writes, node.origin)
    else:
        draft.emit("aten.addmm", (bias, x, operand(draft, node.inputs[1])), node.writes, node.origin)


def _matmul(draft: Draft, node: Node) -> None:
    weight = linear_weight(draft, node.inputs[1])
    x = operand(draft, node.inputs[0])
    if weight is not None and not is_weight(draft, node.inputs[0]):
        draft.emit("aten.linear", (x, weight), node.writes, node.origin)
    else:
        draft.emit("aten.matmul", (x, operand(draft, node.inputs[1])), node.writes, node.origin)


def _gather(draft: Draft, node: Node) -> None:
    axis, index = node.attributes.get("axis", 0), number(draft, node.inputs[1])
    scalar = draft.type_of(node.inputs[1])
    x = operand(draft, node.inputs[0])
    if index is not None and scalar is not None and not scalar.shape:
        draft.emit("aten.select", (x, axis, int(index)), node.writes, node.origin)
    elif is_weight(draft, node.inputs[0]) and axis == 0:
        draft.emit("aten.embedding", (x, operand(draft, node.inputs[1])), node.writes, node.origin)
    else:
        draft.emit("aten.index", (x, [None] * axis + [operand(draft, node.inputs[1])]), node.writes, node.origin)


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


def _pool(kind: str) -> Converter:
    def run(draft: Draft, node: Node) -> None:
        kernel = list(node.attributes.get("kernel_shape", ()))
        rank = len(kernel)
        pads = list(node.attributes.get("pads", (0,) * 2 * rank))[:rank]
        strides = list(node.attributes.get("strides", (1,) * rank))
        ceil = bool(node.attributes.get("ceil_mode", 0))
        args: list[Any] = [operand(draft, node.inputs[0]), kernel, strides, pads]
        args += [list(node.attributes.get("dilations", (1,) * rank)), ceil] if kind == "max" else [ceil]
        draft.emit(f"aten.{kind}_pool{rank}d", tuple(args), node.writes[:1], node.origin)

    return run


def _global_pool(draft: Draft, node: Node) -> None:
    type_ = draft.type_of(node.inputs[0])
    axes = list(range(2, len(type_.shape))) if type_ else [-2, -1]
    if node.op_type == "GlobalAveragePool":
        draft.emit("aten.mean", (operand(draft, node.inputs[0]), axes, True), node.writes, node.origin)
    else:
        draft.emit(
            "aten.adaptive_max_pool2d", (operand(draft, node.inputs[0]), [1] * len(axes)), node.writes, node.origin
        )


def _resize(draft: Draft, node: Node) -> None:
    type_ = draft.type_of(node.outputs[0])
    rank = len(type_.shape) - 2 if type_ else 2
    mode = {"nearest": "nearest", "linear": {1: "linear", 2: "bilinear", 3: "trilinear"}[rank], "cubic": "bicubic"}
    name = mode[node.attributes.get("mode", "nearest")]
    draft.emit(
        f"aten.upsample_{name}{rank}d",
        (operand(draft, node.inputs[0]), list(type_.shape[2:]) if type_ else None),
        node.writes,
        node.origin,
    )


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


def _dropout(draft: Draft, node: Node) -> None:
    p = number(draft, node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] else node.attributes.get("ratio", 0.5)
    draft.emit("aten.dropout", (operand(draft, node.inputs[0]), p, True), node.writes[:1], node.origin)


def _norm_like(draft: Draft, node: Node) -> None:
    x, weight, *bias = _args(draft, node)
    type_ = draft.type_of(node.inputs[0])
    axis = node.attributes.get("axis", -1)
    shape = list(type_.shape[axis:]) if type_ else []
    if node.op_type == "RMSNormalization":
        draft.emit("aten.rms_norm", (x, shape, weight), node.writes[:1], node.origin)
    else:
        draft.emit("aten.layer_norm", (x, shape, weight, *bias), node.writes[:1], node.origin)


def _group_norm(draft: Draft, node: Node) -> None:
    x, weight, bias = _args(draft, node)
    draft.emit("aten.group_norm", (x, node.attributes.get("num_groups", 1), weight, bias), node.writes[:1], node.origin)


def _instance_norm(draft: Draft, node: Node) -> None:
    sources = [draft.maker[n].inputs[0] if n in draft.maker and draft.maker[n].inputs else n for n in node.inputs[1:]]
    weights = [operand(draft, n) if is_named(s) else None for n, s in zip(node.inputs[1:], sources, strict=True)]
    draft.emit("aten.instance_norm", (operand(draft, node.inputs[0]), *weights), node.writes[:1], node.origin)


def _recurrent(name: str, gates: int) -> Converter:
    """Weights [directions, gates * hidden, ...] become one pair of matrices and biases per direction."""

    def run(draft: Draft, node: Node) -> None:
        x, hidden = operand(draft, node.inputs[0]), node.attributes["hidden_size"]
        type_ = draft.type_of(node.inputs[0])
        ways = 2 if node.attributes.get("direction") == "bidirectional" else 1
        assert type_ is not None
        steps, batch, width = type_.shape
        has_bias = len(node.inputs) > 3 and bool(node.inputs[3])
        weights = []
        for way in range(ways):
            rows: list[tuple[str, tuple[int, ...]]] = [("w", (gates * hidden, width)), ("r", (gates * hidden, hidden))]
            rows += [("b_in", (gates * hidden,)), ("b_hidden", (gates * hidden,))] if has_bias else []
            for part, shape in rows:
                weights.append(draft.add(f"{node.inputs[1]} {part}{way}", "parameter", TensorType(type_.dtype, shape)))
        states = []
        for i in range(2 if name == "lstm" else 1):
            state = f"{node.outputs[0] or node.name} state {i}"
            draft.emit(
                "aten.zeros",
                ([ways, batch, hidden],),
                (state,),
                node.origin,
                (TensorType(type_.dtype, (ways, batch, hidden)),),
            )
            states.append(Ref(state))
        inner = f"{node.outputs[0] or node.name} inner"
        given = states if name == "lstm" else states[0]
        outs = (inner, *node.outputs[1:])
        draft.emit(f"aten.{name}", (x, given, weights, has_bias, 1, 0.0, True, ways == 2, False), outs, node.origin, ())
        if node.outputs[0]:
            out = TensorType(type_.dtype, (steps, batch, ways, hidden))
            turned = TensorType(type_.dtype, (steps, ways, batch, hidden))
            draft.emit("aten.view", (Ref(inner), list(out.shape)), (f"{inner} view",), node.origin, (out,))
            draft.emit("aten.permute", (Ref(f"{inner} view"), [0, 2, 1, 3]), (node.outputs[0],), node.origin, (turned,))

    return run


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
    draft.emit("aten.cat", (_args(draft, node), node.attributes.get("axis", 0)), node.writes, node.origin)


def _loss(draft: Draft, node: Node) -> None:
    x, target = _args(draft, node)[:2]
    name = "aten.cross_entropy_loss" if node.op_type == "SoftmaxCrossEntropyLoss" else "aten.nll_loss"
    draft.emit(name, (x, target), node.writes[:1], node.origin)


def _attention(draft: Draft, node: Node) -> None:
    q, k, v, *mask = _args(draft, node)[:4]
    causal = bool(node.attributes.get("is_causal", 0))
    draft.emit(
        "aten.scaled_dot_product_attention",
        (q, k, v, mask[0] if mask else None, draft.options.p_after("Softmax"), causal),
        node.writes[:1], node.origin, enable_gqa=True,
    )  # fmt: skip


def _indexed(target: str) -> Converter:
    def run(draft: Draft, node: Node) -> None:
        x, index, *rest = _args(draft, node)
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
    draft.emit("aten.einsum", (node.attributes.get("equation", ""), _args(draft, node)), node.writes, node.origin)


def _filled(draft: Draft, node: Node) -> None:
    type_ = draft.type_of(node.outputs[0])
    draft.emit("aten.full", (list(type_.shape) if type_ else [],), node.writes, node.origin)


CONVERTERS: dict[str, Converter] = {
    "Attention": _attention, "AveragePool": _pool("avg"), "Cast": _cast, "CastLike": _cast, "Clip": _clip,
    "Concat": _concat, "ConstantOfShape": _filled, "CumSum": _plain("aten.cumsum", 0),
    "Einsum": _einsum,
    "DepthToSpace": _plain("aten.pixel_shuffle", 2), "Dropout": _dropout, "Expand": _first_ints("aten.expand"),
    "Flatten": _first_ints("aten.view"), "GRU": _recurrent("gru", 3), "Gather": _gather,
    "GatherElements": _indexed("aten.gather"), "GatherND": _indexed("aten.index"), "Gelu": _plain("aten.gelu"),
    "Gemm": _gemm, "GlobalAveragePool": _global_pool, "GlobalMaxPool": _global_pool, "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm, "LRN": _plain("aten.local_response_norm", 5),
    "LSTM": _recurrent("lstm", 4),
    "LayerNormalization": _norm_like, "LogSoftmax": _axis("aten.log_softmax", -1), "MatMul": _matmul,
    "MaxPool": _pool("max"), "NegativeLogLikelihoodLoss": _loss, "Pad": _pad, "RMSNormalization": _norm_like,
    "RNN": _recurrent("rnn_tanh", 1), "Range": _filled, "ReduceL1": _reduction("aten.linalg_vector_norm"),
    "ReduceL2": _reduction("aten.linalg_vector_norm"), "ReduceLogSumExp": _reduction("aten.logsumexp"),
    "ReduceMax": _reduction("aten.amax"), "ReduceMean": _reduction("aten.mean"), "ReduceMin": _reduction("aten.amin"),
    "ReduceProd": _reduction("aten.prod"), "ReduceSum": _reduction("aten.sum"), "Reshape": _first_ints("aten.view"),
    "Resize": _resize, "ScatterElements": _indexed("aten.scatter"), "ScatterND": _indexed("aten.index_put"),
    "Slice": _slice, "Softmax": _axis("aten.softmax", -1), "SoftmaxCrossEntropyLoss": _loss,
    "SpaceToDepth": _plain("aten.pixel_unshuffle", 2), "Split": _split, "Squeeze": _squeeze("aten.squeeze"),
    "Sum": _folded("aten.add"), "Max": _folded("aten.maximum"), "Min": _folded("aten.minimum"),
    "Tile": _first_ints("aten.repeat"), "TopK": _topk, "Transpose": _transpose, "Unsqueeze": _squeeze("aten.view"),
    "Upsample": _resize,
}  # fmt: skip
