"""What an export may have removed without a trace: named as a likely gap, no figure changes."""

from __future__ import annotations

from graphmem.autograd.raising.draft import DROPOUT, NORM, NORM_HINT, Draft
from graphmem.autograd.raising.operands import is_weight
from graphmem.ir.graph import Node

LOST_DROPOUT = (
    "dropout may have been removed here; export in training mode, or give --dropout P (placed by structure; 0 for none)"
)
UNUSED_DROPOUT = "--dropout was put back in attention alone: the file does not say where other dropouts were"
LOST_NORM = "a batch norm may have been folded in here, of which the file tells nothing; export in training mode"
_ACTIVATIONS = ("Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Relu", "Sigmoid", "Softplus")
_BETWEEN = ("Cast", "Flatten", "Identity", "Reshape")


def note_gaps(draft: Draft) -> None:
    """Note the places, unless the exporter's text or training-mode nodes prove that nothing is gone."""
    nodes = draft.graph.nodes
    norms = [n for n in nodes if n.op_type == "BatchNormalization"]
    trains = any(n.op_type == "Dropout" for n in nodes) or any(n.attributes.get("training_mode") for n in norms)
    if trains or any(n.origin.call for n in nodes):
        return
    if draft.options.dropout is None:
        _note_dropout(draft)
    elif draft.options.dropout and all(i.what != DROPOUT for i in draft.inferred) and _heads(draft):
        draft.note(UNUSED_DROPOUT, _place(_heads(draft)[0]), "no text of the exporter, no Dropout node")
    if not norms:
        _note_norms(draft)


def _note_dropout(draft: Draft) -> None:
    for node in draft.graph.nodes:
        if node.op_type == "Softmax" and any(u.op_type == "MatMul" for u in _users(draft, node)):
            draft.note(LOST_DROPOUT, _place(node), "attention weights: a softmax times values, and no Dropout node")
    for node in _heads(draft):
        draft.note(LOST_DROPOUT, _place(node), "two linear layers with an activation between, and no Dropout node")


def _heads(draft: Draft) -> list[Node]:
    """Activations between two linear layers, as in the heads of classifiers and the feed-forward of transformers."""
    return [
        node
        for node in draft.graph.nodes
        if node.op_type in (*_ACTIVATIONS, "Erf", "Tanh") and _after_linear(draft, node) and _before_linear(draft, node)
    ]


def _after_linear(draft: Draft, node: Node) -> bool:
    at = draft.maker.get(node.inputs[0])
    while at is not None and at.op_type in ("Add", "Div", "Mul", *_BETWEEN):
        at = next((m for n in at.inputs if (m := draft.maker.get(n)) is not None and not is_weight(draft, n)), None)
    return at is not None and _is_linear(draft, at)


def _before_linear(draft: Draft, node: Node) -> bool:
    front = _users(draft, node)
    for _ in range(5):  # GELU is four nodes behind its Erf
        if any(_is_linear(draft, n) for n in front):
            return True
        front = [u for n in front if n.op_type in ("Add", "Mul", *_BETWEEN) for u in _users(draft, n)]
    return False


def _is_linear(draft: Draft, node: Node) -> bool:
    return node.op_type in ("Gemm", "MatMul") and is_weight(draft, node.inputs[1])


def _note_norms(draft: Draft) -> None:
    """Convolutions with a bias right before an activation, when neither names nor options tell of folded norms.

    An exporter that gives folded weights numbers keeps the names of the others, which proves those.
    """
    if draft.options.assume_bn or any(i.what in (NORM, NORM_HINT) for i in draft.inferred):
        return
    for node in draft.graph.nodes:
        if node.op_type not in ("Conv", "ConvTranspose") or len(node.inputs) < 3 or not node.inputs[2]:
            continue
        if any(u.op_type in _ACTIVATIONS for u in _users(draft, node)):
            draft.note(
                LOST_NORM, _place(node), "a convolution with a bias before an activation, no batch norm anywhere"
            )


def _users(draft: Draft, node: Node) -> list[Node]:
    return [user for name in node.writes for user in draft.users.get(name, [])]


def _place(node: Node) -> str:
    return node.origin.scope or node.name or node.outputs[0]
