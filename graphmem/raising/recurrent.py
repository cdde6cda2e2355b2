"""A recurrent layer in the exporter's text -> its weights, states and results as ATen has them.

ONNX keeps the weights of a direction in one matrix and leaves out states of zeros; the optimizer merges equal biases
and cancels transposes against those of the layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from graphmem.ir.graph import Node
from graphmem.ir.program import Ref
from graphmem.ir.types import TensorType
from graphmem.raising.call_text import FxNode
from graphmem.raising.draft import Draft
from graphmem.raising.removed import Lost, leaves, lost_dropout, resolved

LAYERS = ("LSTM", "GRU", "RNN")


def add_recurrent_weights(draft: Draft, fx: FxNode, group: Sequence[Node]) -> None:
    """States of zeros and biases that were merged or folded: their shapes follow from the layer's sizes."""
    outputs = [t for n in group for o in n.writes if n.standard_type in LAYERS and (t := draft.type_of(o))]
    y = next((t for t in outputs if len(t.shape) == 4), None)
    if y is None:
        return
    _, ways, batch, hidden = y.shape
    weights, has_biases, layers = fx.args[2:5]
    gates = {"l": 4, "g": 3, "r": 1}[fx.target.removeprefix("aten.")[0]]
    state = TensorType(y.dtype, (layers * ways, batch, hidden))
    _turn_input(draft, fx, group)
    for leaf in leaves([fx.args[1]], Ref):
        known = draft.renamed.get(leaf.name, leaf.name)
        if known not in draft.made and isinstance(resolved(draft, leaf), Lost | Ref):
            draft.emit("aten.zeros", (list(state.shape),), (leaf.name,), group[-1].origin, (state,))
    per = len(weights) // (layers * ways)
    width = draft.type_of(next(n.inputs[0] for n in group if n.standard_type in LAYERS))
    for i, leaf in enumerate(weights):
        inner = width.shape[-1] if width and i < per * ways else hidden * ways
        shape = {0: (gates * hidden, inner), 1: (gates * hidden, hidden)}.get(i % per, (gates * hidden,))
        lost = resolved(draft, leaf)
        if isinstance(lost, Lost) and lost.role is not None:
            draft.add(leaf.name[2:], "parameter", TensorType(y.dtype, shape))
        elif isinstance(lost, Lost):  # a weight that is computed from a parameter, as by a dropout of it
            source = draft.add(f"{fx.name} weight {i}", "parameter", TensorType(y.dtype, shape))
            lost_dropout(draft, leaf.name, source.name, group[-1].origin, TensorType(y.dtype, shape))
    del has_biases


def recurrent_results(draft: Draft, fx: FxNode, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[TensorType, ...]]:
    """All results in their order, read or not: the sequence, the last hidden state, and the last cell state of LSTM."""
    count = 3 if fx.target.startswith("aten.lstm") else 2
    found = [f"{fx.name}[{i}]" for i in range(count)]
    for name in names:
        port = _port(draft, name)
        if port is not None and port < count:
            found[port] = name
    return tuple(found), ()


def _port(draft: Draft, name: str) -> int | None:
    """Which output of a recurrent ONNX operator a value comes from."""
    pending = [name]
    for _ in range(64):
        if not pending:
            break
        at = pending.pop()
        node = draft.maker.get(at)
        if node is not None and node.standard_type in LAYERS:
            return list(node.outputs).index(at)
        pending += [n for n in reversed(node.inputs) if n in draft.maker] if node is not None else []
    return None


def _turn_input(draft: Draft, fx: FxNode, group: Sequence[Node]) -> None:
    """Put back a transpose of the layer's input that the optimizer cancelled against the layer's own."""
    inside = {name for node in group for name in node.writes}
    layer = next((n for n in group if n.standard_type in LAYERS), None)
    flow = draft.type_of(layer.inputs[0]) if layer else None
    given = fx.args[0]
    if flow is None or not isinstance(given, Ref) or not isinstance(resolved(draft, given), Lost):
        return
    steps, batch, width = flow.shape
    wanted = (batch, steps, width) if fx.args[8] else (steps, batch, width)
    for source in dict.fromkeys(n for node in group for n in node.reads if n not in inside):
        type_ = draft.type_of(source)
        if source not in draft.made or type_ is None or len(type_.shape) != 3:
            continue
        for order in permutations(range(3)):
            if tuple(type_.shape[d] for d in order) == wanted:
                turned = TensorType(type_.dtype, wanted)
                name = f"{given.name} turned" if given.name.startswith("clone") else given.name
                draft.emit("aten.permute", (Ref(source), list(order)), (name,), group[-1].origin, (turned,))
                if name != given.name:  # a copy before the layer is a dropout in evaluation mode
                    lost_dropout(draft, given.name, name, group[-1].origin, turned)
                return
