"""Graph -> its Channels: what each operator does with the channels of what it reads.

A rule returns False when it reads channels in a way that needs them whole; they are pinned then. So are those of graph
outputs, and of whatever has no rule.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from graphmem.ir.graph import Graph, Node
from graphmem.ir.operators import is_elementwise
from graphmem.passes.channels import Channels, Segments

_POOLS = {
    "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "Resize", "Upsample",
}  # fmt: skip


def tied_channels(graph: Graph) -> Channels:
    """The channels of every layer of the graph, tied where one cannot shrink without the other."""
    found = Channels(graph)
    for node in graph.steps:
        rule = _RULES.get(node.standard_type)
        if rule is None and is_elementwise(node):
            rule = _elementwise
        if rule is None or not rule(found, node):
            found.pin_reads(node)
        elif node.outputs and node.outputs[0] in found.axis:
            found.give_others(node)
    for name in graph.outputs:
        found.pin(name)
    return found


def _conv(c: Channels, node: Node) -> bool:
    group, weight = node.attributes.get("group", 1), node.inputs[1]
    if group == 1:
        return c.layer(node, weight, 1, 0, 1)
    row, shape = c.segments(node.inputs[0], 1), c.shape(weight)
    is_depthwise = row is not None and shape[:2] == (group, 1) and c.shape(node.inputs[0])[1] == group
    if not is_depthwise or row is None or len(row) > 1:
        return False
    c.weigh(weight, 0, row)
    if len(node.inputs) > 2 and node.inputs[2]:
        c.weigh(node.inputs[2], 0, row)
    c.give(node.outputs[0], 1, row)
    return True


def _conv_transpose(c: Channels, node: Node) -> bool:
    return node.attributes.get("group", 1) == 1 and c.layer(node, node.inputs[1], 0, 1, 1)


def _gemm(c: Channels, node: Node) -> bool:
    turned = bool(node.attributes.get("transB"))
    return not node.attributes.get("transA") and c.layer(node, node.inputs[1], int(turned), int(not turned), 1)


def _matmul(c: Channels, node: Node) -> bool:
    last = len(c.shape(node.inputs[0])) - 1
    return len(c.shape(node.inputs[1])) == 2 and last > 0 and c.layer(node, node.inputs[1], 0, 1, last)


def _norm(c: Channels, node: Node) -> bool:
    """A norm with weights per channel: its axis is 1, of a layer norm the last."""
    x = node.inputs[0]
    axis = len(c.shape(x)) - 1 if node.standard_type == "LayerNormalization" else 1
    row = c.segments(x, axis)
    if row is None or node.attributes.get("axis", -1) not in (-1, axis):
        return False
    for name in node.inputs[1:]:
        if name:
            c.weigh(name, 0, row)
    c.give(node.outputs[0], axis, row)
    return True


def _elementwise(c: Channels, node: Node) -> bool:
    """Sides of the size of the result are tied where one has channels; weights shrink with them."""
    out = c.shape(node.outputs[0])
    rows = {}
    sides = node.inputs[:1] if node.standard_type in ("CastLike", "Clip", "Dropout") else node.inputs
    for name in sides:
        if name in c.axis:
            rows[name] = (c.axis[name] + len(out) - len(c.shape(name)), c.of[name, c.axis[name]])
    if not rows:
        return True
    axis, row = next(iter(rows.values()))
    if any(other != axis for other, _ in rows.values()) or not 0 <= axis < len(out) or out[axis] == 1:
        return False
    for name in filter(None, sides):
        own = axis - len(out) + len(c.shape(name))
        if own < 0 or c.shape(name)[own] == 1:
            continue
        if name in rows:
            c.groups.tie(row, rows[name][1])
        elif c.is_weight(name):
            c.weigh(name, own, row)
        else:
            c.groups.pin(row)
    c.give(node.outputs[0], axis, row)
    return True


def _pooled(c: Channels, node: Node) -> bool:
    row = c.segments(node.inputs[0], 1)
    if row is None or c.shape(node.outputs[0])[1] != c.shape(node.inputs[0])[1]:
        return False
    c.give(node.outputs[0], 1, row)
    return True


def _reduced(c: Channels, node: Node) -> bool:
    x, out = node.inputs[0], c.shape(node.outputs[0])
    axis, size = c.axis.get(x), c.shape(x)
    axes = node.attributes.get("axes") or (c.graph.values.get(node.inputs[1]) if len(node.inputs) > 1 else None)
    if axis is None or axes is None:
        return axis is None
    gone = {int(a) % len(size) for a in axes}
    if axis in gone:
        return False
    c.give(node.outputs[0], axis if len(out) == len(size) else axis - sum(a < axis for a in gone), c.of[x, axis])
    return True


def _concatenated(c: Channels, node: Node) -> bool:
    names = list(node.inputs)
    axes = {c.axis[name] for name in names if name in c.axis}
    axis = node.attributes.get("axis", 0) % max(1, len(c.shape(node.outputs[0])))
    if len(axes) != 1 or axis not in axes:
        return not axes
    row: Segments = ()
    for name in names:
        row += c.segments(name, axis) or c.groups.new(c.shape(name)[axis], pinned=True)
    c.give(node.outputs[0], axis, row)
    return True


def _flattened(c: Channels, node: Node) -> bool:
    """[N, C, H, W] -> [N, C*H*W], or shapes that keep channels with all that is before or after them."""
    x, before, after = node.inputs[0], c.shape(node.inputs[0]), c.shape(node.outputs[0])
    axis = c.axis.get(x)
    if axis is None:
        return True
    row = c.of[x, axis]
    if axis == 1 and len(after) == 2 and after[1] == prod(before[1:]):
        inner = prod(before[2:])
        c.give(node.outputs[0], 1, tuple((group, repeat * inner) for group, repeat in row))
        return True
    if before[: axis + 1] == after[: axis + 1]:
        c.give(node.outputs[0], axis, row)
        return True
    if axis == len(before) - 1 and after and before[-1] == after[-1]:
        c.give(node.outputs[0], len(after) - 1, row)
        return True
    return False


def _turned(c: Channels, node: Node) -> bool:
    x = node.inputs[0]
    if x in c.axis:
        order = list(node.attributes.get("perm") or range(len(c.shape(x)) - 1, -1, -1))
        c.give(node.outputs[0], order.index(c.axis[x]), c.of[x, c.axis[x]])
    return True


def _sizes_only(c: Channels, node: Node) -> bool:
    """Reads no element: what is made with the sizes is held to the types that follow."""
    del c, node
    return True


_RULES: dict[str, Callable[[Channels, Node], bool]] = {
    "Conv": _conv, "ConvTranspose": _conv_transpose, "Gemm": _gemm, "MatMul": _matmul, "BatchNormalization": _norm,
    "InstanceNormalization": _norm, "LayerNormalization": _norm, "ReduceMean": _reduced, "ReduceSum": _reduced,
    "ReduceMax": _reduced, "Concat": _concatenated, "Flatten": _flattened, "Reshape": _flattened,
    "Squeeze": _flattened, "Transpose": _turned, "Shape": _sizes_only, "Size": _sizes_only,
    **dict.fromkeys(_POOLS, _pooled),
}  # fmt: skip
