"""Groups of nodes that exporters write for a normalisation; each matcher as in `patterns`."""

from __future__ import annotations

from graphmem.autograd.program import Ref
from graphmem.autograd.raising.chains import only_user, other_input
from graphmem.autograd.raising.draft import Draft
from graphmem.autograd.raising.operands import is_weight, operand
from graphmem.ir.graph import Node
from graphmem.ir.types import TensorType


def layer_norm(draft: Draft, node: Node) -> list[Node] | None:
    """Mean, Sub, Pow 2, Mean, Add eps, Sqrt, Div, Mul weight, Add bias: what opset 16 and older hold."""
    sub = only_user(draft, node, "Sub")
    if sub is None or sub.inputs[0] != node.inputs[0]:
        return None
    users = draft.users.get(sub.outputs[0], [])
    power = next((u for u in users if u.op_type in ("Pow", "Mul")), None)
    divide = next((u for u in users if u.op_type == "Div"), None)
    chain = [node, sub]
    at = power
    for op_types in (("ReduceMean",), ("Add",), ("Sqrt",), ("Div",)):
        if at is None or divide is None:
            return None
        chain.append(at)
        at = only_user(draft, at, *op_types)
    if at is not divide or at is None:
        return None
    chain.append(at)
    weight = only_user(draft, at, "Mul")
    bias = only_user(draft, weight, "Add") if weight else None
    type_ = draft.type_of(other_input(weight, at.outputs[0])) if weight else None
    if weight is None or bias is None or type_ is None or not is_weight(draft, other_input(weight, at.outputs[0])):
        return None
    names = other_input(weight, at.outputs[0]), other_input(bias, weight.outputs[0])
    args = (operand(draft, node.inputs[0]), list(type_.shape), operand(draft, names[0]), operand(draft, names[1]))
    draft.emit("aten.layer_norm", args, bias.writes, node.origin)
    draft.note(
        "layer norm", node.origin.scope or node.name, "ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div, Mul, Add"
    )
    return [*chain, weight, bias]


def group_norm(draft: Draft, node: Node) -> list[Node] | None:
    """Reshape to groups, InstanceNormalization, Reshape back, Mul weight, Add bias."""
    inner = only_user(draft, node, "InstanceNormalization")
    back = only_user(draft, inner, "Reshape") if inner else None
    scale = only_user(draft, back, "Mul") if back else None
    shift = only_user(draft, scale, "Add") if scale else None
    grouped = draft.type_of(node.outputs[0])
    if inner is None or back is None or scale is None or shift is None or grouped is None:
        return None
    refs = [
        _flat_weight(draft, other_input(scale, back.outputs[0])),
        _flat_weight(draft, other_input(shift, scale.outputs[0])),
    ]
    if None in refs:
        return None
    args = (operand(draft, node.inputs[0]), grouped.shape[1], *refs)
    draft.emit("aten.group_norm", args, shift.writes, node.origin)
    draft.note("group norm", node.origin.scope or node.name, "Reshape, InstanceNormalization, Reshape, Mul, Add")
    return [node, inner, back, scale, shift]


def _flat_weight(draft: Draft, name: str) -> Ref | None:
    """The weight behind an Unsqueeze that makes it broadcast over pixels."""
    maker = draft.maker.get(name)
    source = maker.inputs[0] if maker is not None and maker.op_type == "Unsqueeze" else name
    type_ = draft.type_of(source)
    if type_ is None or not is_weight(draft, source):
        return None
    if len(type_.shape) == 1 and source in draft.held:
        return Ref(source)
    return draft.add(f"{source} (flat)", "parameter", TensorType(type_.dtype, (type_.elements,)))
