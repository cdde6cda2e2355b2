"""Groups of nodes that exporters write for one ATen call: linear, GELU, SiLU, Mish, rsqrt, layer norm, attention.

Each matcher gets the first node of its pattern, emits the call and returns the nodes that it accounts for, or None.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isclose, sqrt

from graphmem.autograd.program import Ref
from graphmem.autograd.raising.draft import Draft
from graphmem.autograd.raising.operands import integers, is_weight, linear_weight, number, operand
from graphmem.ir.graph import Node
from graphmem.ir.types import TensorType

Matcher = Callable[[Draft, Node], "list[Node] | None"]


def match(draft: Draft, node: Node) -> list[Node] | None:
    """What the first matcher that fits this node accounts for."""
    for matcher in MATCHERS.get(node.op_type, ()):
        found = matcher(draft, node)
        if found is not None:
            return found
    return None


def _only_user(draft: Draft, node: Node, *op_types: str) -> Node | None:
    """The one node that reads the first output, when it is of these operators and the value is not an output."""
    users = draft.users.get(node.outputs[0], [])
    if len(users) != 1 or node.outputs[0] in draft.graph.outputs or (op_types and users[0].op_type not in op_types):
        return None
    return users[0]


def _other(node: Node, name: str) -> str:
    """The other input of a binary node."""
    return node.inputs[1] if node.inputs[0] == name else node.inputs[0]


def _linear(draft: Draft, node: Node) -> list[Node] | None:
    """x @ W.T + b."""
    weight = linear_weight(draft, node.inputs[1]) if not is_weight(draft, node.inputs[0]) else None
    add = _only_user(draft, node, "Add")
    if weight is None or add is None:
        return None
    bias = _other(add, node.outputs[0])
    type_ = draft.type_of(bias)
    if type_ is None or len(type_.shape) != 1 or not (is_weight(draft, bias) or bias in draft.derived):
        return None
    draft.emit("aten.linear", (operand(draft, node.inputs[0]), weight, operand(draft, bias)), add.writes, node.origin)
    return [node, add]


def _gelu(draft: Draft, node: Node) -> list[Node] | None:
    """0.5 * x * (1 + erf(x / sqrt(2))), in the orders that exporters write it."""
    x = node.inputs[0]
    scale = number(draft, node.inputs[1]) if len(node.inputs) > 1 else None
    wanted = sqrt(2) if node.op_type == "Div" else sqrt(0.5)
    erf = _only_user(draft, node, "Erf")
    if scale is None or erf is None or not isclose(scale, wanted, rel_tol=1e-3):
        return None
    add = _only_user(draft, erf, "Add")
    product = _only_user(draft, add, "Mul") if add else None
    if add is None or product is None:
        return None
    matched = [node, erf, add, product]
    other = _other(product, add.outputs[0])
    if other == x:
        half = _only_user(draft, product, "Mul")
        if half is None or number(draft, _other(half, product.outputs[0])) != 0.5:
            return None
        matched.append(half)
    else:
        half = draft.maker.get(other)
        if half is None or x not in half.inputs or number(draft, _other(half, x)) != 0.5:
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
        at = _only_user(draft, chain[-1], op_type)
        if at is None:
            return None
        if op_type != "Tanh":
            other = _other(at, chain[-1].outputs[0])
            value = number(draft, other)
            if (factor is None and other != x) or (
                factor and (value is None or not isclose(value, factor, rel_tol=1e-3))
            ):
                return None
        chain.append(at)
    draft.emit("aten.gelu", (operand(draft, x),), chain[-1].writes, node.origin)
    draft.note("gelu", node.origin.scope or node.name, "x * x * x * 0.044715, Tanh, Mul x, Mul 0.5")
    return chain


def _split_weight(draft: Draft, node: Node) -> list[Node] | None:
    """Slices of a parameter that share it out: the packed projection of attention."""
    source = node.inputs[0]
    type_ = draft.type_of(source)
    parts = draft.users.get(source, [])
    if source not in draft.held or type_ is None or len(parts) < 2 or any(p.op_type != "Slice" for p in parts):
        return None
    found = []
    for part in parts:
        starts, out = integers(draft, part.inputs[1]), draft.type_of(part.outputs[0])
        if starts is None or len(starts) != 1 or out is None or out.shape[1:] != type_.shape[1:]:
            return None
        found.append((starts[0], out.shape[0], part.outputs[0]))
    found.sort()
    if sum(size for _, size, _ in found) != type_.shape[0]:
        return None
    sizes, outputs = [size for _, size, _ in found], tuple(name for _, _, name in found)
    draft.emit("aten.split_with_sizes", (operand(draft, source), sizes, 0), outputs, node.origin)
    return list(parts)


def _gated(gates: dict[str, str]) -> Matcher:
    """x * gate(x)."""

    def run(draft: Draft, node: Node) -> list[Node] | None:
        users = draft.users.get(node.outputs[0], [])
        if len(users) != 1 or users[0].op_type != "Mul" or node.inputs[0] not in users[0].inputs:
            return None
        if users[0].inputs.count(node.inputs[0]) != 1:
            return None
        target = gates[node.op_type]
        draft.emit(target, (operand(draft, node.inputs[0]),), users[0].writes, node.origin)
        draft.note(target.removeprefix("aten."), node.origin.scope or node.name, f"x times {node.op_type}(x)")
        return [node, users[0]]

    return run


def _mish(draft: Draft, node: Node) -> list[Node] | None:
    tanh = _only_user(draft, node, "Tanh")
    product = _only_user(draft, tanh, "Mul") if tanh else None
    if tanh is None or product is None or node.inputs[0] not in product.inputs:
        return None
    draft.emit("aten.mish", (operand(draft, node.inputs[0]),), product.writes, node.origin)
    return [node, tanh, product]


def _rsqrt(draft: Draft, node: Node) -> list[Node] | None:
    """1 / sqrt(x)."""
    user = _only_user(draft, node, "Reciprocal", "Div")
    if user is None or (
        user.op_type == "Div" and (user.inputs[1] != node.outputs[0] or number(draft, user.inputs[0]) != 1)
    ):
        return None
    draft.emit("aten.rsqrt", (operand(draft, node.inputs[0]),), user.writes, node.origin)
    return [node, user]


def _layer_norm(draft: Draft, node: Node) -> list[Node] | None:
    """Mean, Sub, Pow 2, Mean, Add eps, Sqrt, Div, Mul weight, Add bias: what opset 16 and older hold."""
    sub = _only_user(draft, node, "Sub")
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
        at = _only_user(draft, at, *op_types)
    if at is not divide or at is None:
        return None
    chain.append(at)
    weight = _only_user(draft, at, "Mul")
    bias = _only_user(draft, weight, "Add") if weight else None
    type_ = draft.type_of(_other(weight, at.outputs[0])) if weight else None
    if weight is None or bias is None or type_ is None or not is_weight(draft, _other(weight, at.outputs[0])):
        return None
    names = _other(weight, at.outputs[0]), _other(bias, weight.outputs[0])
    args = (operand(draft, node.inputs[0]), list(type_.shape), operand(draft, names[0]), operand(draft, names[1]))
    draft.emit("aten.layer_norm", args, bias.writes, node.origin)
    draft.note(
        "layer norm", node.origin.scope or node.name, "ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div, Mul, Add"
    )
    return [*chain, weight, bias]


def _attention(draft: Draft, node: Node) -> list[Node] | None:
    """Scaled q times scaled and turned k, softmax, times v: both operands scaled before the product tells SDPA."""
    product = _only_user(draft, node, "MatMul")
    if product is None or product.inputs[0] != node.outputs[0] or number(draft, node.inputs[1]) is None:
        return None
    scaled = draft.maker.get(product.inputs[1])
    if scaled is None or scaled.op_type != "Mul" or number(draft, scaled.inputs[1]) is None:
        return None
    turn = draft.maker.get(scaled.inputs[0])
    if turn is None or turn.op_type != "Transpose":
        return None
    matched, mask = [node, turn, scaled, product], ""
    at = _only_user(draft, product, "Add", "Softmax")
    if at is not None and at.op_type == "Add":
        mask = _other(at, product.outputs[0])
        matched.append(at)
        at = _only_user(draft, at, "Softmax")
    if at is None:
        return None
    matched.append(at)
    p = draft.options.p_after("Softmax")
    after = _only_user(draft, at, "MatMul", "Dropout")
    if after is not None and after.op_type == "Dropout":
        ratio = number(draft, after.inputs[1]) if len(after.inputs) > 1 else 0.5
        p = ratio if ratio is not None else 0.5
        matched.append(after)
        after = _only_user(draft, after, "MatMul")
    if after is None:
        return None
    key = _before_turn(draft, turn)
    causal = mask in draft.static and mask not in draft.held
    given = operand(draft, mask) if mask and not causal else None
    args = (operand(draft, node.inputs[0]), key, operand(draft, after.inputs[1]), given, p, causal)
    draft.emit("aten.scaled_dot_product_attention", args, after.writes, node.origin)
    draft.note(
        "scaled dot product attention", node.origin.scope or node.name, "q and k scaled apart, MatMul, Softmax, MatMul"
    )
    return [*matched, after]


def _before_turn(draft: Draft, turn: Node) -> Ref:
    """The key as attention gets it: the exporter merges its transpose with the one that put the heads first."""
    order = list(turn.attributes.get("perm", ()))
    order[-1], order[-2] = order[-2], order[-1]
    name = f"{turn.outputs[0]} key"
    type_ = draft.type_of(turn.outputs[0])
    shape = (*type_.shape[:-2], type_.shape[-1], type_.shape[-2]) if type_ else ()
    types = (type(type_)(type_.dtype, shape),) if type_ else ()
    draft.emit("aten.permute", (operand(draft, turn.inputs[0]), order), (name,), turn.origin, types)
    return Ref(name)


def _unbind(draft: Draft, node: Node) -> list[Node] | None:
    """A Split into single indices, each squeezed."""
    axis = node.attributes.get("axis", 0)
    squeezes = [_squeeze_of(draft, name) for name in node.writes]
    if any(s is None for s in squeezes):
        return None
    found = [s for s in squeezes if s is not None]
    outputs = tuple(s.outputs[0] for s in found)
    draft.emit("aten.unbind", (operand(draft, node.inputs[0]), axis), outputs, node.origin)
    return [node, *found]


def _packed_projection(draft: Draft, node: Node) -> list[Node] | None:
    """Unsqueeze, Transpose, Squeeze, Gathers: torch.nn.MultiheadAttention, which copies before it selects."""
    turn = draft.maker.get(node.inputs[0])
    users = draft.users.get(node.outputs[0], [])
    type_ = draft.type_of(node.outputs[0])
    if turn is None or turn.op_type != "Transpose" or type_ is None or type_.shape[0] not in (2, 3):
        return None
    wide = draft.maker.get(turn.inputs[0])
    if (
        wide is None
        or wide.op_type != "Unsqueeze"
        or len(users) != type_.shape[0]
        or any(u.op_type != "Gather" for u in users)
    ):
        return None
    before = f"{node.outputs[0]} before copy"
    draft.emit("aten.squeeze", (operand(draft, node.inputs[0]), [3]), (before,), node.origin, (type_,))
    draft.emit("aten.contiguous", (Ref(before),), node.writes, node.origin)
    draft.note("copy of packed projections", node.origin.scope or node.name, "Unsqueeze, Transpose, Squeeze, Gathers")
    return [node]


def _group_norm(draft: Draft, node: Node) -> list[Node] | None:
    """Reshape to groups, InstanceNormalization, Reshape back, Mul weight, Add bias."""
    inner = _only_user(draft, node, "InstanceNormalization")
    back = _only_user(draft, inner, "Reshape") if inner else None
    scale = _only_user(draft, back, "Mul") if back else None
    shift = _only_user(draft, scale, "Add") if scale else None
    grouped = draft.type_of(node.outputs[0])
    if inner is None or back is None or scale is None or shift is None or grouped is None:
        return None
    refs = [_flat_weight(draft, _other(scale, back.outputs[0])), _flat_weight(draft, _other(shift, scale.outputs[0]))]
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


def _glu(draft: Draft, node: Node) -> list[Node] | None:
    """A Split in two halves, the first times the sigmoid of the second."""
    if len(node.writes) != 2:
        return None
    first, second = (draft.users.get(name, []) for name in node.writes)
    if len(first) != 1 or len(second) != 1 or second[0].op_type != "Sigmoid" or first[0].op_type != "Mul":
        return None
    if second[0].outputs[0] not in first[0].inputs:
        return None
    axis = node.attributes.get("axis", 0)
    draft.emit("aten.glu", (operand(draft, node.inputs[0]), axis), first[0].writes, node.origin)
    draft.note("glu", node.origin.scope or node.name, "Split, Sigmoid of the second half, Mul")
    return [node, second[0], first[0]]


def _squeeze_of(draft: Draft, name: str) -> Node | None:
    users = draft.users.get(name, [])
    return users[0] if len(users) == 1 and users[0].op_type == "Squeeze" else None


MATCHERS: dict[str, tuple[Matcher, ...]] = {
    "Div": (_gelu,),
    "HardSigmoid": (_gated({"HardSigmoid": "aten.hardswish"}),),
    "MatMul": (_linear,),
    "Mul": (_attention, _gelu, _tanh_gelu),
    "ReduceMean": (_layer_norm,),
    "Reshape": (_group_norm,),
    "Sigmoid": (_gated({"Sigmoid": "aten.silu"}),),
    "Slice": (_split_weight,),
    "Softplus": (_mish,),
    "Split": (_unbind, _glu),
    "Sqrt": (_rsqrt,),
    "Squeeze": (_packed_projection,),
}
