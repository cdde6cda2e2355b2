"""A program whose export removed dropouts without a trace -> the same with dropouts where networks have them.

Only for files without the exporter's text and without Dropout nodes, and only when the caller gives a probability: on
attention weights, on branches before they are added to the residual stream, on sums of embeddings, on what activations
give to a last linear layer; and, where there is none of these, before the last linear layer or, without any, the last
convolution. Each is listed.

What an export may have removed without a trace: named as a likely gap, no figure changes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from graphmem.ir.graph import Node
from graphmem.ir.program import Call, Ref
from graphmem.raising.draft import DROPOUT, NORM, NORM_HINT, Draft
from graphmem.raising.operands import is_weight

_LINEAR = ("aten.linear", "aten.addmm")
_PRODUCTS = ("aten.matmul", "aten.bmm")
_VIEWS = (
    "aten.view",
    "aten.reshape",
    "aten.permute",
    "aten.transpose",
    "aten.squeeze",
    "aten.unsqueeze",
    "aten.flatten",
)
_ACTIVATIONS = ("aten.relu", "aten.gelu", "aten.tanh", "aten.silu", "aten.elu", "aten.leaky_relu", "aten.hardswish")


def place_dropouts(draft: Draft) -> None:
    """Put the dropouts into the draft's calls."""
    nodes = draft.graph.nodes
    if not draft.options.dropout and not draft.options.attention_dropout:
        return
    if any(n.standard_type == "Dropout" or n.origin.call for n in nodes):
        return
    for value, readers, why in _places(_Flow(draft)):
        p = draft.p_after("Softmax" if why.startswith("attention") else "")
        origin = next((call.origin for call in draft.calls if value in call.outputs), readers[0].origin)
        if p and draft.infers(DROPOUT, origin.scope or value, why):
            _insert(draft, value, readers, p)


class _Flow:
    """Who makes and who reads each value."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.maker = {name: call for call in draft.calls for name in call.outputs}
        self.readers: dict[str, list[Call]] = {}
        for call in draft.calls:
            for name in call.reads:
                self.readers.setdefault(name, []).append(call)

    def only_reader(self, name: str) -> Call | None:
        """The one call that reads the value, when it is no output of the model."""
        found = self.readers.get(name, [])
        return found[0] if len(found) == 1 and name not in self.draft.graph.outputs else None

    def seen(self, name: str) -> str:
        """The value at the end of a chain of views that have one reader each."""
        reader = self.only_reader(name)
        while reader is not None and reader.target.startswith(_VIEWS):
            name = reader.outputs[0]
            reader = self.only_reader(name)
        return name

    def activations(self, call: Call) -> list[str]:
        """The values made in the step that the call reads."""
        return [name for name in call.reads if name in self.maker or name in self.draft.graph.inputs]


Place = tuple[str, list[Call], str]


def _places(flow: _Flow) -> list[Place]:
    """(value, the calls that read its dropped form, evidence)."""
    embedded = _embedded(flow)
    found = [place for call in flow.draft.calls if (place := _place(flow, call, embedded)) is not None]
    return found or _before_last(flow)


def _place(flow: _Flow, call: Call, embedded: set[str]) -> Place | None:
    value = call.outputs[0] if call.outputs else ""
    if call.target.startswith("aten.softmax"):
        reader = flow.only_reader(flow.seen(value))
        if reader is not None and reader.target.startswith(_PRODUCTS):
            return value, flow.readers[value], "attention weights: a softmax times values"
    elif call.target.startswith(_LINEAR):
        end = flow.seen(value)
        if _joins(flow, end):
            return end, flow.readers[end], "a branch before it is added to what runs past it"
    elif call.target.startswith(_ACTIVATIONS):
        return _head(flow, call, value)
    elif value in embedded and value in flow.readers:
        return value, flow.readers[value], "a sum of embeddings"
    return None


def _before_last(flow: _Flow) -> list[Place]:
    """The input of the last linear layer, or of the last convolution of a network without any."""
    for targets in (_LINEAR, ("aten.conv",)):
        last = [call for call in flow.draft.calls if call.target.startswith(targets) and flow.activations(call)]
        if last:
            return [(flow.activations(last[-1])[0], [last[-1]], "the input of the last layer")]
    return []


def _joins(flow: _Flow, value: str) -> bool:
    """True when the value's one reader adds it to another activation."""
    reader = flow.only_reader(value)
    return reader is not None and reader.target.startswith("aten.add") and len(flow.activations(reader)) == 2


def _head(flow: _Flow, call: Call, value: str) -> Place | None:
    """An activation between two linear layers of a head; inside of a residual branch most networks have none."""
    source = flow.maker.get(call.reads[0]) if call.reads else None
    end = flow.seen(value)
    reader = flow.only_reader(end)
    if source is None or reader is None or not source.target.startswith((*_LINEAR, "aten.batch_norm")):
        return None
    if not reader.target.startswith(_LINEAR):
        return None
    if not _joins(flow, flow.seen(reader.outputs[0])):
        return end, [reader], "an activation between two linear layers"
    if source.origin.scope.endswith("linear1") and reader.origin.scope.endswith("linear2"):
        return end, [reader], "linear1 and linear2, as in torch.nn.TransformerEncoderLayer"
    return None


def _embedded(flow: _Flow) -> set[str]:
    """Sums of embeddings, or of activations and a table of positions, at the end of their chain."""
    sums: set[str] = set()
    plain: set[str] = set()
    for call in flow.draft.calls:
        inputs = flow.activations(call)
        if call.target.startswith("aten.embedding"):
            plain.update(call.outputs)
        elif call.target.startswith("aten.add") and _is_position_sum(flow, call, inputs, plain | sums):
            sums.difference_update(inputs)
            sums.update(call.outputs)
        elif call.target.startswith(("aten.mul", *_VIEWS)) and inputs and set(inputs) <= plain:
            plain.update(call.outputs)
        elif call.target.startswith("aten.layer_norm") and inputs[0] in sums and flow.only_reader(inputs[0]) is call:
            sums.discard(inputs[0])
            sums.update(call.outputs)
    return sums


def _is_position_sum(flow: _Flow, call: Call, inputs: list[str], known: set[str]) -> bool:
    types = [flow.draft.type_of(name) for name in call.reads if name not in inputs]
    table = any(t is not None and len(t.shape) > 1 and t.elements > 1 for t in types)
    if not known.isdisjoint(inputs):
        return set(inputs) <= known
    reader = flow.only_reader(call.outputs[0])
    return table and len(inputs) == 1 and not (reader is not None and reader.target.startswith("aten.softmax"))


def _insert(draft: Draft, value: str, readers: list[Call], p: float) -> None:
    """A dropout right after the value is made, read in its place by these calls."""
    at = next((i for i, call in enumerate(draft.calls) if value in call.outputs), -1)  # -1: an input of the model
    origin = draft.calls[at].origin if at >= 0 else readers[0].origin
    dropped = f"{value} dropped"
    outputs = {reader.outputs for reader in readers}
    for i, call in enumerate(draft.calls):
        if call.outputs in outputs:
            draft.calls[i] = replace(call, args=tuple(_renamed(arg, value, dropped) for arg in call.args))
    type_ = draft.type_of(value)
    draft.calls.insert(
        at + 1,
        Call("aten.dropout", (Ref(value), p, True), (dropped,), (type_,) if type_ else (), {}, origin),
    )
    draft.made.add(dropped)


def _renamed(arg: Any, old: str, new: str) -> Any:
    if isinstance(arg, list | tuple):
        return [_renamed(item, old, new) for item in arg]
    return Ref(new) if isinstance(arg, Ref) and arg.name == old else arg


LOST_DROPOUT = (
    "dropout may have been removed here; export in training mode, or give --dropout P (placed by structure; 0 for none)"
)
UNUSED_DROPOUT = "--dropout was put back in attention alone: the file does not say where other dropouts were"
LOST_NORM = "a batch norm may have been folded in here, of which the file tells nothing; export in training mode"
_ACTIVATION_NODES = (
    "Clip",
    "Elu",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "PRelu",
    "Relu",
    "Sigmoid",
    "Softplus",
)
_BETWEEN = ("Cast", "Flatten", "Identity", "Reshape")


def note_gaps(draft: Draft) -> None:
    """Note the places, unless the exporter's text or training-mode nodes prove that nothing is gone."""
    nodes = draft.graph.nodes
    norms = [n for n in nodes if n.standard_type == "BatchNormalization"]
    trains = any(n.standard_type == "Dropout" for n in nodes) or any(n.attributes.get("training_mode") for n in norms)
    if trains or any(n.origin.call for n in nodes):
        return
    if draft.options.dropout is None:
        _note_dropout(draft)
    elif draft.options.dropout and all(i.what != DROPOUT for i in draft.inferred) and _heads(draft):
        draft.note(UNUSED_DROPOUT, _place_of(_heads(draft)[0]), "no text of the exporter, no Dropout node")
    if not norms:
        _note_norms(draft)


def _note_dropout(draft: Draft) -> None:
    for node in draft.graph.nodes:
        if node.standard_type == "Softmax" and any(u.standard_type == "MatMul" for u in _users(draft, node)):
            draft.note(LOST_DROPOUT, _place_of(node), "attention weights: a softmax times values, and no Dropout node")
    for node in _heads(draft):
        draft.note(LOST_DROPOUT, _place_of(node), "two linear layers with an activation between, and no Dropout node")


def _heads(draft: Draft) -> list[Node]:
    """Activations between two linear layers, as in the heads of classifiers and the feed-forward of transformers."""
    return [
        node
        for node in draft.graph.nodes
        if node.standard_type in (*_ACTIVATION_NODES, "Erf", "Tanh")
        and _after_linear(draft, node)
        and _before_linear(draft, node)
    ]


def _after_linear(draft: Draft, node: Node) -> bool:
    at = draft.maker.get(node.inputs[0])
    while at is not None and at.standard_type in ("Add", "Div", "Mul", *_BETWEEN):
        at = next((m for n in at.inputs if (m := draft.maker.get(n)) is not None and not is_weight(draft, n)), None)
    return at is not None and _is_linear(draft, at)


def _before_linear(draft: Draft, node: Node) -> bool:
    front = _users(draft, node)
    for _ in range(5):  # GELU is four nodes behind its Erf
        if any(_is_linear(draft, n) for n in front):
            return True
        front = [u for n in front if n.standard_type in ("Add", "Mul", *_BETWEEN) for u in _users(draft, n)]
    return False


def _is_linear(draft: Draft, node: Node) -> bool:
    return node.standard_type in ("Gemm", "MatMul") and is_weight(draft, node.inputs[1])


def _note_norms(draft: Draft) -> None:
    """Convolutions with a bias right before an activation, when neither names nor options tell of folded norms.

    An exporter that gives folded weights numbers keeps the names of the others, which proves those.
    """
    if draft.options.assume_bn or any(i.what in (NORM, NORM_HINT) for i in draft.inferred):
        return
    for node in draft.graph.nodes:
        if node.standard_type not in ("Conv", "ConvTranspose") or len(node.inputs) < 3 or not node.inputs[2]:
            continue
        if any(u.standard_type in _ACTIVATION_NODES for u in _users(draft, node)):
            draft.note(
                LOST_NORM, _place_of(node), "a convolution with a bias before an activation, no batch norm anywhere"
            )


def _users(draft: Draft, node: Node) -> list[Node]:
    return [user for name in node.writes for user in draft.users.get(name, [])]


def _place_of(node: Node) -> str:
    return node.origin.scope or node.name or node.outputs[0]
