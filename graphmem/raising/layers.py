"""ONNX operators of layers -> ATen calls: products, pools, norms, recurrent layers, attention, losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphmem.ir.errors import MisfitError
from graphmem.ir.graph import Node
from graphmem.ir.program import Ref
from graphmem.ir.types import TensorType
from graphmem.raising.draft import Draft, is_named
from graphmem.raising.operands import is_weight, linear_weight, number, operand, operands, shared_weight

Converter = Callable[[Draft, Node], None]


def gemm(draft: Draft, node: Node) -> None:
    """A linear layer where the weight is turned, else a product."""
    x = operand(draft, node.inputs[0])
    bias = operand(draft, node.inputs[2]) if len(node.inputs) > 2 else None
    if node.attributes.get("transB") and not node.attributes.get("transA"):
        draft.emit("aten.linear", (x, operand(draft, node.inputs[1]), bias), node.writes, node.origin)
    elif bias is None:
        draft.emit("aten.mm", (x, operand(draft, node.inputs[1])), node.writes, node.origin)
    else:
        draft.emit("aten.addmm", (bias, x, operand(draft, node.inputs[1])), node.writes, node.origin)


def matmul(draft: Draft, node: Node) -> None:
    """A linear layer without bias where the second factor is a weight."""
    weight = linear_weight(draft, node.inputs[1])
    x = operand(draft, node.inputs[0])
    if weight is not None and not is_weight(draft, node.inputs[0]):
        draft.emit("aten.linear", (x, weight), node.writes, node.origin)
    else:
        draft.emit("aten.matmul", (x, operand(draft, node.inputs[1])), node.writes, node.origin)


def pool(kind: str) -> Converter:
    """A pool of that kind over windows."""

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


def global_pool(draft: Draft, node: Node) -> None:
    """A pool over whole channels."""
    type_ = draft.type_of(node.inputs[0])
    axes = list(range(2, len(type_.shape))) if type_ else [-2, -1]
    if node.standard_type == "GlobalAveragePool":
        draft.emit("aten.mean", (operand(draft, node.inputs[0]), axes, True), node.writes, node.origin)
    else:
        draft.emit(
            "aten.adaptive_max_pool2d", (operand(draft, node.inputs[0]), [1] * len(axes)), node.writes, node.origin
        )


_INTERPOLATIONS = {
    **{("nearest", rank): "nearest" for rank in (1, 2, 3)},
    ("linear", 1): "linear", ("linear", 2): "bilinear", ("linear", 3): "trilinear", ("cubic", 2): "bicubic",
}  # fmt: skip


def resize(draft: Draft, node: Node) -> None:
    """An interpolation to the stated size."""
    type_ = draft.type_of(node.outputs[0])
    rank = len(type_.shape) - 2 if type_ else 2
    name = _INTERPOLATIONS.get((node.attributes.get("mode", "nearest"), rank))
    draft.emit(
        f"aten.upsample_{name}{rank}d" if name else "onnx.resize",  # of a rank that torch does not resize
        (operand(draft, node.inputs[0]), list(type_.shape[2:]) if type_ else None),
        node.writes,
        node.origin,
    )


def dropout(draft: Draft, node: Node) -> None:
    """A dropout, whatever the mode of the export."""
    p = number(draft, node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] else node.attributes.get("ratio", 0.5)
    draft.emit("aten.dropout", (operand(draft, node.inputs[0]), p, True), node.writes[:1], node.origin)


def prelu(draft: Draft, node: Node) -> None:
    """Slopes are a parameter, however few; a numbered constant of them has dimensions put in."""
    name = shared_weight(draft, node.inputs[1])
    type_ = draft.type_of(name)
    slopes: Any = operand(draft, name)
    if type_ is not None and name in draft.held and not is_named(name):
        slopes = draft.add(f"{name} (flat)", "parameter", TensorType(type_.dtype, (type_.elements,)))
    elif name in draft.held:
        slopes = Ref(name)
    draft.emit("aten.prelu", (operand(draft, node.inputs[0]), slopes), node.writes, node.origin)


def norm_like(draft: Draft, node: Node) -> None:
    """A layer norm or RMS norm over the last dimensions."""
    x, weight, *bias = operands(draft, node)
    type_ = draft.type_of(node.inputs[0])
    axis = node.attributes.get("axis", -1)
    shape = list(type_.shape[axis:]) if type_ else []
    if node.standard_type == "RMSNormalization":
        draft.emit("aten.rms_norm", (x, shape, weight), node.writes[:1], node.origin)
    else:
        draft.emit("aten.layer_norm", (x, shape, weight, *bias), node.writes[:1], node.origin)


def group_norm(draft: Draft, node: Node) -> None:
    """A group norm."""
    x, weight, bias = operands(draft, node)
    draft.emit("aten.group_norm", (x, node.attributes.get("num_groups", 1), weight, bias), node.writes[:1], node.origin)


def instance_norm(draft: Draft, node: Node) -> None:
    """An instance norm; scale and shift that the exporter made up are left out."""
    sources = [draft.maker[n].inputs[0] if n in draft.maker and draft.maker[n].inputs else n for n in node.inputs[1:]]
    weights = [operand(draft, n) if is_named(s) else None for n, s in zip(node.inputs[1:], sources, strict=True)]
    draft.emit("aten.instance_norm", (operand(draft, node.inputs[0]), *weights), node.writes[:1], node.origin)


def recurrent(name: str, gates: int) -> Converter:
    """Weights [directions, gates * hidden, ...] become one pair of matrices and biases per direction."""

    def run(draft: Draft, node: Node) -> None:
        x, hidden = operand(draft, node.inputs[0]), node.attributes["hidden_size"]
        type_ = draft.type_of(node.inputs[0])
        ways = 2 if node.attributes.get("direction") == "bidirectional" else 1
        if type_ is None or len(type_.shape) != 3:
            raise MisfitError("the file does not state the input of a recurrent layer")
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


def loss(draft: Draft, node: Node) -> None:
    """A loss that is part of the graph."""
    x, target = operands(draft, node)[:2]
    name = "aten.cross_entropy_loss" if node.standard_type == "SoftmaxCrossEntropyLoss" else "aten.nll_loss"
    draft.emit(name, (x, target), node.writes[:1], node.origin)


def attention(draft: Draft, node: Node) -> None:
    """Fused attention; a removed dropout of its weights comes back with its probability."""
    q, k, v, *mask = operands(draft, node)[:4]
    causal = bool(node.attributes.get("is_causal", 0))
    draft.emit(
        "aten.scaled_dot_product_attention",
        (q, k, v, mask[0] if mask else None, draft.p_after("Softmax"), causal),
        node.writes[:1], node.origin, enable_gqa=True,
    )  # fmt: skip
