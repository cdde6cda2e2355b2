"""Groups of nodes that exporters write for one ATen call: linear, GELU, SiLU, Mish, rsqrt, layer norm, attention.

Each matcher gets the first node of its pattern, emits the call and returns the nodes that it accounts for, or None.

"""

from __future__ import annotations

from math import isclose, sqrt

from graphmem.ir.graph import Node
from graphmem.ir.program import Ref
from graphmem.ir.types import TensorType
from graphmem.raising.draft import Draft, Matcher, only_user, other_input
from graphmem.raising.operands import is_weight, linear_weight, number, operand
from graphmem.raising.projections import attention, packed_projection, positions, split_weight, unbind


def layer_norm(draft: Draft, node: Node) -> list[Node] | None:
    """Mean, Sub, Pow 2, Mean, Add eps, Sqrt, Div, Mul weight, Add bias: what opset 16 and older hold."""
    sub = only_user(draft, node, "Sub")
    if sub is None or sub.inputs[0] != node.inputs[0]:
        return None
    users = draft.users.get(sub.outputs[0], [])
    power = next((u for u in users if u.standard_type in ("Pow", "Mul")), None)
    divide = next((u for u in users if u.standard_type == "Div"), None)
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
    source = maker.inputs[0] if maker is not None and maker.standard_type == "Unsqueeze" else name
    type_ = draft.type_of(source)
    if type_ is None or not is_weight(draft, source):
        return None
    if len(type_.shape) == 1 and source in draft.held:
        return Ref(source)
    return draft.add(f"{source} (flat)", "parameter", TensorType(type_.dtype, (type_.elements,)))


def match(draft: Draft, node: Node) -> list[Node] | None:
    """What the first matcher that fits this node accounts for."""
    for matcher in MATCHERS.get(node.standard_type, ()):
        found = matcher(draft, node)
        if found is not None:
            return found
    return None


def _linear(draft: Draft, node: Node) -> list[Node] | None:
    """X @ W.T + b."""
    weight = linear_weight(draft, node.inputs[1]) if not is_weight(draft, node.inputs[0]) else None
    add = only_user(draft, node, "Add")
    if weight is None or add is None:
        return None
    bias = other_input(add, node.outputs[0])
    type_ = draft.type_of(bias)
    if type_ is None or len(type_.shape) != 1 or not (is_weight(draft, bias) or bias in draft.derived):
        return None
    draft.emit("aten.linear", (operand(draft, node.inputs[0]), weight, operand(draft, bias)), add.writes, node.origin)
    return [node, add]


def _gelu(draft: Draft, node: Node) -> list[Node] | None:
    """0.5 * x * (1 + erf(x / sqrt(2))), in the orders that exporters write it."""
    x = node.inputs[0]
    scale = number(draft, node.inputs[1]) if len(node.inputs) > 1 else None
    wanted = sqrt(2) if node.standard_type == "Div" else sqrt(0.5)
    erf = only_user(draft, node, "Erf")
    if scale is None or erf is None or not isclose(scale, wanted, rel_tol=1e-3):
        return None
    add = only_user(draft, erf, "Add")
    product = only_user(draft, add, "Mul") if add else None
    if add is None or product is None:
        return None
    matched = [node, erf, add, product]
    other = other_input(product, add.outputs[0])
    if other == x:
        half = only_user(draft, product, "Mul")
        if half is None or number(draft, other_input(half, product.outputs[0])) != 0.5:
            return None
        matched.append(half)
    else:
        half = draft.maker.get(other)
        if half is None or x not in half.inputs or number(draft, other_input(half, x)) != 0.5:
            return None
        matched.append(half)
    last = matched[-1] if other == x else product
    draft.emit("aten.gelu", (operand(draft, x),), last.writes, node.origin)
    draft.note("gelu", node.origin.scope or node.name, "x / sqrt(2), Erf, Add 1, Mul x, Mul 0.5")
    return matched


def _tanh_gelu(draft: Draft, node: Node) -> list[Node] | None:
    """0.5 * x * (1 + tanh(c * (x + 0.044715 * x * x * x))), the cube as two products: the exporter's own formula."""
    x = node.inputs[0]
    if node.inputs[1] != x:
        return None
    chain = [node]
    for op_type, factor in (("Mul", None), ("Mul", 0.044715), ("Add", None), ("Mul", 0.7978845), ("Tanh", None),
                            ("Add", 1.0), ("Mul", None), ("Mul", 0.5)):  # fmt: skip
        at = only_user(draft, chain[-1], op_type)
        if at is None:
            return None
        if op_type != "Tanh":
            other = other_input(at, chain[-1].outputs[0])
            value = number(draft, other)
            if (factor is None and other != x) or (
                factor and (value is None or not isclose(value, factor, rel_tol=1e-3))
            ):
                return None
        chain.append(at)
    draft.emit("aten.gelu", (operand(draft, x),), chain[-1].writes, node.origin)
    draft.note("gelu", node.origin.scope or node.name, "x * x * x * 0.044715, Tanh, Mul x, Mul 0.5")
    return chain


def _gated(gates: dict[str, str]) -> Matcher:
    """X * gate(x)."""

    def run(draft: Draft, node: Node) -> list[Node] | None:
        users = draft.users.get(node.outputs[0], [])
        if len(users) != 1 or users[0].standard_type != "Mul" or node.inputs[0] not in users[0].inputs:
            return None
        if users[0].inputs.count(node.inputs[0]) != 1:
            return None
        target = gates[node.standard_type]
        draft.emit(target, (operand(draft, node.inputs[0]),), users[0].writes, node.origin)
        draft.note(target.removeprefix("aten."), node.origin.scope or node.name, f"x times {node.op_type}(x)")
        return [node, users[0]]

    return run


def _mish(draft: Draft, node: Node) -> list[Node] | None:
    tanh = only_user(draft, node, "Tanh")
    product = only_user(draft, tanh, "Mul") if tanh else None
    if tanh is None or product is None or node.inputs[0] not in product.inputs:
        return None
    draft.emit("aten.mish", (operand(draft, node.inputs[0]),), product.writes, node.origin)
    return [node, tanh, product]


def _rsqrt(draft: Draft, node: Node) -> list[Node] | None:
    """1 / sqrt(x)."""
    user = only_user(draft, node, "Reciprocal", "Div")
    if user is None or (
        user.standard_type == "Div" and (user.inputs[1] != node.outputs[0] or number(draft, user.inputs[0]) != 1)
    ):
        return None
    draft.emit("aten.rsqrt", (operand(draft, node.inputs[0]),), user.writes, node.origin)
    return [node, user]


def _glu(draft: Draft, node: Node) -> list[Node] | None:
    """A Split in two halves, the first times the sigmoid of the second."""
    if len(node.writes) != 2:
        return None
    first, second = (draft.users.get(name, []) for name in node.writes)
    if len(first) != 1 or len(second) != 1 or second[0].standard_type != "Sigmoid" or first[0].standard_type != "Mul":
        return None
    if second[0].outputs[0] not in first[0].inputs:
        return None
    axis = node.attributes.get("axis", 0)
    draft.emit("aten.glu", (operand(draft, node.inputs[0]), axis), first[0].writes, node.origin)
    draft.note("glu", node.origin.scope or node.name, "Split, Sigmoid of the second half, Mul")
    return [node, second[0], first[0]]


MATCHERS: dict[str, tuple[Matcher, ...]] = {
    "Add": (positions,),
    "Div": (_gelu,),
    "HardSigmoid": (_gated({"HardSigmoid": "aten.hardswish"}),),
    "MatMul": (_linear,),
    "Mul": (attention, _gelu, _tanh_gelu),
    "ReduceMean": (layer_norm,),
    "Reshape": (group_norm,),
    "Sigmoid": (_gated({"Sigmoid": "aten.silu"}),),
    "Slice": (split_weight,),
    "Softplus": (_mish,),
    "Split": (unbind, _glu),
    "Sqrt": (_rsqrt,),
    "Squeeze": (packed_projection,),
}
