"""Nodes without exporter metadata -> ATen calls, by operator and by the patterns that exporters write for one call."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from graphmem.ir.errors import misfits
from graphmem.ir.graph import Issue, Node
from graphmem.ir.program import UNFIT
from graphmem.ir.types import TensorType
from graphmem.raising import patterns
from graphmem.raising.draft import NORM, NORM_HINT, Draft
from graphmem.raising.operands import operand, operands, shared_weight, source_of, weight_operand
from graphmem.raising.operators import CONVERTERS, UNARY

_AGAIN = re.compile(r"_\d+$")


def raise_nodes(draft: Draft, nodes: Sequence[Node]) -> None:
    """Emit the calls of nodes, patterns first."""
    done: set[int] = set()
    for node in nodes:
        if id(node) in done or _is_fixed(draft, node):
            continue
        matched = patterns.match(draft, node)
        if matched is not None:
            done.update(id(n) for n in matched)
            continue
        raise_node(draft, node)


def _is_fixed(draft: Draft, node: Node) -> bool:
    """True for shape arithmetic and values fixed before the run, which are looked up when something reads them."""
    return all(name in draft.static for name in node.writes)


def raise_node(draft: Draft, node: Node) -> None:
    """One node -> its calls; a node that does not fit what is written for its operator becomes an unknown call."""
    before = len(draft.calls)
    try:
        _converted(draft, node)
    except misfits():
        draft.take_back(before)
        draft.emit(f"{UNFIT}{node.op_type}", tuple(operands(draft, node)), node.writes, node.origin)


def _converted(draft: Draft, node: Node) -> None:
    """One node -> its calls, by the tables; an operator that is in none becomes an unknown call."""
    if node.standard_type in ("Conv", "ConvTranspose"):
        convolution(draft, node, node.outputs[0], len(node.inputs) > 2)
        _assume_norm(draft, node)
        return
    if node.standard_type == "BatchNormalization":
        names = list(node.inputs[1:5])
        scope = node.origin.scope or names[0].rpartition(".")[0]
        draft.batch_norm(source_of(draft, node.inputs[0]), node.outputs[0], scope, node.origin, names)
        return
    if node.standard_type in CONVERTERS:
        CONVERTERS[node.standard_type](draft, node)
        return
    args = [operand(draft, name) for name in node.inputs if name]
    if node.domain:
        _note_foreign(draft, node)
    target = f"{node.domain or 'aten'}.{UNARY.get(node.standard_type, node.op_type.lower())}"
    if node.bodies:
        note_bodies(draft, node)
    draft.emit(target, tuple(args), node.writes, node.origin)


def convolution(draft: Draft, node: Node, output: str, has_bias: bool) -> None:
    """A convolution written to `output`, with the shape that the file states for the node's own output."""
    type_ = draft.type_of(node.outputs[0])
    weight = weight_operand(draft, node.inputs[1])
    bias: Any = None
    if has_bias and len(node.inputs) > 2 and node.inputs[2]:
        bias = weight_operand(draft, node.inputs[2])
    elif has_bias and type_ is not None:
        bias = draft.add(f"{node.inputs[1]} bias", "parameter", TensorType(type_.dtype, (type_.shape[1],)))
    kernel = draft.type_of(node.inputs[1])
    rank = len(kernel.shape) - 2 if kernel else len(type_.shape) - 2 if type_ else 2
    attributes = node.attributes
    pads = attributes.get("pads", (0,) * (2 * rank))
    draft.emit(
        "aten.convolution",
        (
            operand(draft, node.inputs[0]), weight, bias, list(attributes.get("strides", (1,) * rank)),
            list(pads[:rank]), list(attributes.get("dilations", (1,) * rank)), node.standard_type == "ConvTranspose",
            list(attributes.get("output_padding", (0,) * rank)), attributes.get("group", 1),
        ),
        (output,), node.origin, (type_,) if type_ else (),
    )  # fmt: skip


def _assume_norm(draft: Draft, node: Node) -> None:
    """Where the caller says that batch norms were folded, put one behind a convolution with a folded weight."""
    if len(node.inputs) < 3 or not _looks_folded(draft, node):
        return
    scope = node.origin.scope or node.name or node.outputs[0]
    if shared_weight(draft, node.inputs[1]) != node.inputs[1]:
        scope = _AGAIN.sub("", scope)  # a further call of the same module
    if not draft.options.assume_bn:
        draft.note(NORM_HINT, scope, "weights without names")
        return
    if not draft.infers(NORM, scope, "--assume-bn, and weights without names of their own"):
        return
    last = draft.calls.pop()
    before = f"{node.outputs[0]} before batch norm"
    weight, type_ = last.args[1], draft.type_of(node.outputs[0])
    draft.made.discard(node.outputs[0])
    args = (last.args[0], weight, None, *last.args[3:])
    draft.emit(last.target, args, (before,), node.origin, (type_,) if type_ else ())
    draft.batch_norm(before, node.outputs[0], f"{scope} folded norm", node.origin)


def _looks_folded(draft: Draft, node: Node) -> bool:
    """The TorchScript exporter gives folded weights numbers instead of the parameters' names."""
    numbered = all(name.startswith("onnx::") or name.isdigit() for name in node.inputs[1:3])
    return numbered and shared_weight(draft, node.inputs[1]) in draft.held


def _note_foreign(draft: Draft, node: Node) -> None:
    """An operator of another domain may have a backward pass of any kind, whatever its name."""
    told = (
        f"operator {node.op_type} of domain '{node.domain}' is not known: what its backward pass keeps is not counted"
    )
    draft.issues.append(Issue("unknown-operator", node.origin.scope or node.name or next(iter(node.writes), "?"), told))


def note_bodies(draft: Draft, node: Node) -> None:
    """What runs inside of bodies is not raised: their weights, gradients of these, and what they save are missing."""
    inside = [t for _, body in node.bodies for t in body.tensors.values() if t.role == "weight"]
    captured = [t for name in node.captures if (t := draft.graph.tensors.get(name))]
    if any("float" in str(t.type) for t in (*inside, *captured)):
        told = f"the weights that the bodies of {node.op_type} read, and what they save, are not counted"
        draft.issues.append(Issue("unknown-operator", node.origin.scope or node.name or node.outputs[0], told))
