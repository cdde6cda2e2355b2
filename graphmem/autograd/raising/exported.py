"""A group of nodes with the text of its torch.fx call -> that call, its arguments found again in the file.

The optimizer of the exporter removes values (dropouts, copies), merges equal weights and folds transposes into them;
the text still names the originals. A removed value stands for the group's own input that nothing else accounts for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from graphmem.autograd.program import Call, Ref, Role
from graphmem.autograd.raising.attention import eager_attention
from graphmem.autograd.raising.draft import DROPOUT, NO_DROPOUT, NORM, Draft
from graphmem.autograd.raising.fxtext import FxNode
from graphmem.ir.graph import Node
from graphmem.ir.types import SequenceType, TensorType

_ROLES: dict[str, Role] = {"p_": "parameter", "b_": "buffer", "c_": "constant"}
_NORMS = ("aten._native_batch_norm", "aten.batch_norm", "aten.native_batch_norm")
_RECURRENT = ("aten.lstm", "aten.gru", "aten.rnn_")
_VIEWS = ("aten.select", "aten.unbind", "aten.split", "aten.chunk", "aten.transpose", "aten.permute", "aten.slice")
_COPIES = ("aten._unsafe_view", "aten.view", "aten.reshape")


@dataclass(frozen=True, slots=True)
class _Lost:
    """An argument that the file no longer holds under its name."""

    name: str

    @property
    def role(self) -> Role | None:
        """Its role, when it is a weight."""
        return _ROLES.get(self.name[:2])


def rename_item(draft: Draft, fx: FxNode, group: Sequence[Node]) -> None:
    """An item of a sequence is the sequence's output of that number."""
    source, index = fx.args
    if isinstance(source, Ref) and isinstance(index, int):
        draft.renamed[fx.name] = _item(source.name, index)
        for node in group:
            if node.op_type == "SequenceAt":
                draft.renamed[node.outputs[0]] = _item(source.name, index)


def _item(sequence: str, index: int) -> str:
    return f"{sequence}[{index}]"


def raise_exported(draft: Draft, fx: FxNode, group: Sequence[Node]) -> None:
    """Emit the call of the group."""
    if fx.target.startswith(_NORMS):
        _raise_norm(draft, fx, group)
        return
    if fx.target.startswith(_RECURRENT):
        _add_recurrent_weights(draft, fx, group)
    args, kwargs = _arguments(draft, fx, group)
    results = _results(draft, fx, group)
    if fx.target.startswith(_RECURRENT):
        results = _recurrent_results(draft, fx, results[0])
    call = Call(fx.target, tuple(args), *results, kwargs, group[-1].origin)
    is_copy = call.target == "aten.clone.default" and "memory_format" not in call.kwargs
    if is_copy and draft.infers(NO_DROPOUT, call.origin.scope or fx.name, "a copy that keeps its layout"):
        call = Call("aten.dropout", (call.args[0], 0.0, True), call.outputs, call.types, {}, call.origin)
    if call.target.startswith("aten.scaled_dot_product_attention"):
        call = eager_attention(draft, call)
    draft.calls.append(call)
    draft.made.update(call.outputs)


def _add_recurrent_weights(draft: Draft, fx: FxNode, group: Sequence[Node]) -> None:
    """States of zeros and biases that were merged or folded: their shapes follow from the layer's sizes."""
    outputs = [t for n in group for o in n.writes if n.op_type in ("LSTM", "GRU", "RNN") and (t := draft.type_of(o))]
    y = next((t for t in outputs if len(t.shape) == 4), None)
    if y is None:
        return
    _, ways, batch, hidden = y.shape
    weights, has_biases, layers = fx.args[2:5]
    gates = {"l": 4, "g": 3, "r": 1}[fx.target.removeprefix("aten.")[0]]
    state = TensorType(y.dtype, (layers * ways, batch, hidden))
    _turn_input(draft, fx, group)
    for leaf in _leaves([fx.args[1]], Ref):
        if leaf.name not in draft.made and isinstance(_resolved(draft, leaf), _Lost | Ref):
            draft.emit("aten.zeros", (list(state.shape),), (leaf.name,), group[-1].origin, (state,))
    per = len(weights) // (layers * ways)
    width = draft.type_of(next(n.inputs[0] for n in group if n.op_type in ("LSTM", "GRU", "RNN")))
    for i, leaf in enumerate(weights):
        inner = width.shape[-1] if width and i < per * ways else hidden * ways
        shape = {0: (gates * hidden, inner), 1: (gates * hidden, hidden)}.get(i % per, (gates * hidden,))
        if isinstance(_resolved(draft, leaf), _Lost):
            draft.add(leaf.name[2:], "parameter", TensorType(y.dtype, shape))
    del has_biases


def _recurrent_results(
    draft: Draft, fx: FxNode, names: Sequence[str]
) -> tuple[tuple[str, ...], tuple[TensorType, ...]]:
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
        if node is not None and node.op_type in ("LSTM", "GRU", "RNN"):
            return list(node.outputs).index(at)
        pending += [n for n in reversed(node.inputs) if n in draft.maker] if node is not None else []
    return None


def _turn_input(draft: Draft, fx: FxNode, group: Sequence[Node]) -> None:
    """Put back a transpose of the layer's input that the optimizer cancelled against the layer's own."""
    inside = {name for node in group for name in node.writes}
    layer = next((n for n in group if n.op_type in ("LSTM", "GRU", "RNN")), None)
    flow = draft.type_of(layer.inputs[0]) if layer else None
    given = fx.args[0]
    if flow is None or not isinstance(given, Ref) or not isinstance(_resolved(draft, given), _Lost):
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
                draft.emit("aten.permute", (Ref(source), list(order)), (given.name,), group[-1].origin, (turned,))
                return


def _results(draft: Draft, fx: FxNode, group: Sequence[Node]) -> tuple[tuple[str, ...], tuple[TensorType, ...]]:
    """The group's values that others read, and their types."""
    inside = {name for node in group for name in node.writes}
    members = {id(node) for node in group}
    if fx.name in inside:
        outputs: tuple[str, ...] = (fx.name,)
    else:
        used = [n for node in group for n in node.writes if _is_used(draft, n, members)]
        named = [n for n in used if not n.startswith("val_")]  # the exporter's own names are val_N
        outputs = tuple(named or used or [group[-1].outputs[0]])
    sequence = draft.graph.tensors.get(outputs[0])
    if sequence is not None and isinstance(sequence.type, SequenceType):
        elements = sequence.type.elements
        count = len(elements) if elements else len(draft.users.get(outputs[0], ()))
        outputs = tuple(_item(outputs[0], i) for i in range(count))
    return outputs, tuple(t for t in map(draft.type_of, outputs) if t is not None)


def _is_used(draft: Draft, name: str, members: set[int]) -> bool:
    return name in draft.graph.outputs or any(id(node) not in members for node in draft.users.get(name, ()))


def _arguments(draft: Draft, fx: FxNode, group: Sequence[Node]) -> tuple[list[Any], dict[str, Any]]:
    args = [_resolved(draft, arg) for arg in fx.args]
    kwargs = {key: _resolved(draft, value) for key, value in fx.kwargs.items()}
    lost = list(dict.fromkeys(_leaves([*args, *kwargs.values()], _Lost)))
    if not lost:
        return args, kwargs
    known = {ref.name for ref in _leaves([*args, *kwargs.values()], Ref)}
    known |= {draft.standing[name] for name in known if name in draft.standing}
    inside = {name for node in group for name in node.writes}
    outside = list(dict.fromkeys(n for node in group for n in node.reads if n not in inside and n not in known))
    data = [n for n in outside if n in draft.made or n in draft.graph.inputs or n in draft.renamed]
    weights = [n for n in outside if n not in data and _is_numeric(draft, n)]
    stand: dict[str, Any] = {}
    for item in lost:
        pool = weights if item.role else data or weights
        source = pool.pop(0) if pool else None
        stand[item.name] = (
            _weight(draft, fx, item, source, group) if item.role else _value(draft, fx, item, source, group)
        )
    return [_put(arg, stand) for arg in args], {key: _put(value, stand) for key, value in kwargs.items()}


def _is_numeric(draft: Draft, name: str) -> bool:
    type_ = draft.type_of(name)
    return type_ is not None and ("float" in type_.dtype or type_.elements > 8)


def _value(draft: Draft, fx: FxNode, item: _Lost, source: str | None, group: Sequence[Node]) -> Any:
    """A removed activation: what the group reads instead, through a dropout when the text says so."""
    if source is None:
        return None
    found = draft.renamed.get(source, source)
    if not item.name.startswith("clone") or fx.target.startswith(_COPIES):
        return Ref(found)
    if fx.target.startswith(_VIEWS):
        type_ = draft.type_of(source)
        draft.standing[item.name] = source
        draft.emit("aten.contiguous", (Ref(found),), (item.name,), group[-1].origin, (type_,) if type_ else ())
        return Ref(item.name)
    maker = draft.maker.get(source)
    p = draft.options.p_after(maker.op_type if maker else "")
    where = group[-1].origin.scope or item.name
    evidence = f"{fx.name} reads %{item.name}, which the optimizer removed"
    if not p:
        draft.note(f"{DROPOUT}; give --dropout P", where, evidence)
    elif not draft.infers(DROPOUT, where, evidence):
        p = 0.0
    type_ = draft.type_of(source)
    draft.standing[item.name] = source
    draft.emit("aten.dropout", (Ref(found), p, True), (item.name,), group[-1].origin, (type_,) if type_ else ())
    return Ref(item.name)


def _weight(draft: Draft, fx: FxNode, item: _Lost, source: str | None, group: Sequence[Node]) -> Any:
    """A weight that was merged with an equal one, or folded: its name from the text, its shape from the call."""
    assert item.role is not None
    name = item.name[2:]
    if name in draft.extra:
        return Ref(name)
    type_ = _weight_type(draft, fx, item, source, group)
    if type_ is None:
        return None
    if item.role == "constant" and source is not None:
        return Ref(source)
    return draft.add(name, item.role, type_)


def _weight_type(draft: Draft, fx: FxNode, item: _Lost, source: str | None, group: Sequence[Node]) -> TensorType | None:
    place = next((i for i, arg in enumerate(fx.args) if isinstance(arg, Ref) and arg.name == item.name), -1)
    found = draft.type_of(source) if source is not None else None
    out = next((t for n in reversed(group) for o in n.outputs if (t := draft.type_of(o)) is not None), None)
    if fx.target.startswith("aten.linear") and out is not None:
        product = next((n for n in group if n.op_type in ("MatMul", "Gemm")), None)
        inner = draft.type_of(product.inputs[0]) if product else None
        if place == 2:
            return TensorType(out.dtype, out.shape[-1:])
        return TensorType(out.dtype, (out.shape[-1], inner.shape[-1])) if inner else found
    if fx.target.startswith("aten.layer_norm"):
        return TensorType(out.dtype if out else "float32", tuple(fx.args[1]))
    return found


def _raise_norm(draft: Draft, fx: FxNode, group: Sequence[Node]) -> None:
    """A batch norm, or one that was folded into the convolution before it and is put back."""
    names = [arg.name[2:] if isinstance(arg, Ref) else "" for arg in fx.args[1:5]]
    conv = next((n for n in group if n.op_type in ("Conv", "ConvTranspose")), None)
    if conv is None:
        outputs = [n for node in group if node.op_type == "BatchNormalization" for n in node.outputs[:1]]
        node = next((n for n in group if n.op_type == "BatchNormalization"), group[-1])
        output = outputs[0] if outputs else _results(draft, fx, group)[0][0]
        source = draft.renamed.get(node.inputs[0], node.inputs[0])
        draft.batch_norm(source, output, names[0].removesuffix("_weight"), group[-1].origin, names)
        return
    from graphmem.autograd.raising.structure import convolution

    scope = names[0].removesuffix("_weight")
    if not draft.infers(NORM, scope, "rule FuseBatchNormIntoConv"):
        convolution(draft, conv, conv.outputs[0], len(conv.inputs) > 2)
        return
    before = f"{conv.outputs[0]} before batch norm"
    rules = [rule.strip() for rule in conv.origin.rewrites.split(",")]
    had_bias = rules[: rules.index("FuseBatchNormIntoConv")].count("RemoveOptionalBiasFromConv") == 0
    convolution(draft, conv, before, had_bias)
    draft.batch_norm(before, conv.outputs[0], scope, conv.origin, names)


def _resolved(draft: Draft, value: object) -> object:
    if isinstance(value, list | tuple):
        return [_resolved(draft, item) for item in value]
    if not isinstance(value, Ref):
        return value
    name = draft.renamed.get(value.name, value.name)
    role = _ROLES.get(name[:2])
    if role is not None and name[2:] in draft.spelled:
        found = draft.spelled[name[2:]]
        draft.roles[found] = role
        return Ref(found)
    if role is not None and name[2:] in draft.extra:
        return Ref(name[2:])
    if role is None and name not in draft.made and name in draft.held:
        draft.roles.setdefault(name, "constant")
    exists = name in draft.made or name in draft.graph.inputs or (role is None and name in draft.held)
    return Ref(name) if exists else _Lost(name)


def _leaves(values: object, kind: type) -> list[Any]:
    if isinstance(values, kind):
        return [values]
    return [leaf for v in values for leaf in _leaves(v, kind)] if isinstance(values, list | tuple) else []


def _put(value: object, stand: dict[str, Any]) -> object:
    if isinstance(value, list | tuple):
        return [_put(item, stand) for item in value]
    return stand.get(value.name) if isinstance(value, _Lost) else value
