"""Groups of nodes that exporters write for attention and for the projections around it.

Each matcher gets the first node of its pattern, emits the call and returns the nodes that it accounts for, or None.
"""

from __future__ import annotations

from graphmem.ir.graph import Node
from graphmem.ir.program import Ref
from graphmem.raising.draft import Draft, is_named, only_user, other_input
from graphmem.raising.folded import folded_rows
from graphmem.raising.operands import integers, number, operand


def split_weight(draft: Draft, node: Node) -> list[Node] | None:
    """Slices of a parameter that share it out: the packed projection of attention."""
    source = node.inputs[0]
    type_ = draft.type_of(source)
    parts = draft.users.get(source, [])
    if source not in draft.held or type_ is None or len(parts) < 2 or any(p.standard_type != "Slice" for p in parts):
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


def attention(draft: Draft, node: Node) -> list[Node] | None:
    """Scaled q times scaled and turned k, softmax, times v: both operands scaled before the product tells SDPA."""
    product = only_user(draft, node, "MatMul")
    if product is None or product.inputs[0] != node.outputs[0] or number(draft, node.inputs[1]) is None:
        return None
    scaled = draft.maker.get(product.inputs[1])
    if scaled is None or scaled.standard_type != "Mul" or number(draft, scaled.inputs[1]) is None:
        return None
    turn = draft.maker.get(scaled.inputs[0])
    if turn is None or turn.standard_type != "Transpose":
        return None
    matched, mask = [node, turn, scaled, product], ""
    at = only_user(draft, product, "Add", "Softmax")
    if at is not None and at.standard_type == "Add":
        mask = other_input(at, product.outputs[0])
        matched.append(at)
        at = only_user(draft, at, "Softmax")
    if at is None:
        return None
    matched.append(at)
    p = draft.p_after("Softmax")
    after = only_user(draft, at, "MatMul", "Dropout")
    if after is not None and after.standard_type == "Dropout":
        ratio = number(draft, after.inputs[1]) if len(after.inputs) > 1 else 0.5
        p = ratio if ratio is not None else 0.5
        matched.append(after)
        after = only_user(draft, after, "MatMul")
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


def unbind(draft: Draft, node: Node) -> list[Node] | None:
    """A Split into single indices, each squeezed."""
    axis = node.attributes.get("axis", 0)
    squeezes = [_squeeze_of(draft, name) for name in node.writes]
    if any(s is None for s in squeezes):
        return None
    found = [s for s in squeezes if s is not None]
    outputs = tuple(s.outputs[0] for s in found)
    draft.emit("aten.unbind", (operand(draft, node.inputs[0]), axis), outputs, node.origin)
    return [node, *found]


def packed_projection(draft: Draft, node: Node) -> list[Node] | None:
    """Unsqueeze, Transpose, Squeeze, Gathers: torch.nn.MultiheadAttention, which copies before it selects."""
    turn = draft.maker.get(node.inputs[0])
    users = draft.users.get(node.outputs[0], [])
    type_ = draft.type_of(node.outputs[0])
    if turn is None or turn.standard_type != "Transpose" or type_ is None or type_.shape[0] not in (2, 3):
        return None
    wide = draft.maker.get(turn.inputs[0])
    if (
        wide is None
        or wide.standard_type != "Unsqueeze"
        or len(users) != type_.shape[0]
        or any(u.standard_type != "Gather" for u in users)
    ):
        return None
    before = f"{node.outputs[0]} before copy"
    draft.emit("aten.squeeze", (operand(draft, node.inputs[0]), [3]), (before,), node.origin, (type_,))
    draft.emit("aten.contiguous", (Ref(before),), node.writes, node.origin)
    draft.note("copy of packed projections", node.origin.scope or node.name, "Unsqueeze, Transpose, Squeeze, Gathers")
    return [node]


def _squeeze_of(draft: Draft, name: str) -> Node | None:
    users = draft.users.get(name, [])
    return users[0] if len(users) == 1 and users[0].standard_type == "Squeeze" else None


def positions(draft: Draft, node: Node) -> list[Node] | None:
    """Word embeddings and a numbered constant of as many rows: embeddings of positions, looked up before the run."""
    for words, name in (node.inputs, reversed(node.inputs)):
        maker, type_ = draft.maker.get(words), draft.type_of(name)
        if maker is None or maker.standard_type != "Gather" or maker.inputs[0] not in draft.held or type_ is None:
            continue
        if name in draft.held and not is_named(name) and len(type_.shape) > 1 and "float" in type_.dtype:
            draft.origin = node.origin
            rows = folded_rows(draft, name, f"{name} rows", type_)
            draft.emit("aten.add", (operand(draft, words), rows), node.writes, node.origin)
            return [node]
    return None
