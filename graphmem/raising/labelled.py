"""A group of nodes with the text of its torch.fx call -> that call, its arguments found again in the file.

A batch norm in the exporter's text -> the batch norm, put back where the optimizer folded it into a convolution.

A recurrent layer in the exporter's text -> its weights, states and results as ATen has them.

ONNX keeps the weights of a direction in one matrix and leaves out states of zeros; the optimizer merges equal biases
and cancels transposes against those of the layer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

from graphmem.ir.graph import Issue, Node
from graphmem.ir.program import Call, Ref
from graphmem.ir.types import SequenceType, TensorType
from graphmem.raising.call_text import FxNode
from graphmem.raising.draft import NO_DROPOUT, NORM, Draft
from graphmem.raising.eager_attention import eager_attention
from graphmem.raising.operands import operand
from graphmem.raising.removed import ROLES, Lost, leaves, lost_dropout, padded, put, resolved, value_of, weight_of
from graphmem.raising.unlabelled import convolution, raise_node


def raise_norm(draft: Draft, fx: FxNode, group: Sequence[Node], output: str) -> None:
    """A batch norm written to `output`, or one that was folded into the convolution before it and is put back."""
    names = [_norm_weight(draft, arg) for arg in fx.args[1:5]]
    scope = names[0].removesuffix("_weight") if isinstance(names[0], str) else group[-1].origin.scope
    conv = next((n for n in group if n.standard_type in ("Conv", "ConvTranspose", "Gemm")), None)
    if conv is None:
        node = next((n for n in group if n.standard_type == "BatchNormalization"), group[-1])
        output = node.outputs[0] if node.standard_type == "BatchNormalization" else output
        source = draft.renamed.get(node.inputs[0], node.inputs[0])
        draft.batch_norm(source, output, scope, group[-1].origin, names)
        return
    if not draft.infers(NORM, scope, f"rule FuseBatchNormInto{conv.op_type}"):
        raise_node(draft, conv)
        return
    before = f"{conv.outputs[0]} before batch norm"
    if conv.standard_type == "Gemm":
        _linear(draft, conv, before)
    else:
        convolution(draft, conv, before, _had_bias(draft, conv))
    if "FuseConvPad" in conv.origin.rewrites:
        last = draft.calls.pop()
        args = (padded(draft, conv), *last.args[1:4], [0] * len(last.args[4]), *last.args[5:])
        draft.calls.append(replace(last, args=args))
    draft.batch_norm(before, conv.outputs[0], scope, conv.origin, names)


def _norm_weight(draft: Draft, arg: object) -> str | Ref:
    """The name of a weight, "" for none, or the value that one is computed as, as a standardised weight's gain is."""
    if not isinstance(arg, Ref):
        return ""
    if arg.name[:2] in ROLES:
        return arg.name[2:]
    found = resolved(draft, arg)
    return found if isinstance(found, Ref) else ""  # statistics that an earlier call of the module has moved


def _linear(draft: Draft, gemm: Node, output: str) -> None:
    """The linear layer before the norm that was folded into it."""
    type_ = draft.type_of(gemm.outputs[0])
    args = [operand(draft, name) for name in gemm.inputs[: 3 if _had_bias(draft, gemm) else 2]]
    draft.emit("aten.linear", tuple(args), (output,), gemm.origin, (type_,) if type_ else ())


def _had_bias(draft: Draft, conv: Node) -> bool:
    """True when the convolution had a bias before the norm was folded into it (onnxscript, fuse_batchnorm.py).

    The rule keeps the name of a bias, and makes one from the weight's name where there was none.
    """
    if len(conv.inputs) < 3 or conv.inputs[2] == f"{conv.inputs[1]}_bias":
        return False  # a norm that was never trained shifts by 0, which is removed; a bias of its own would be left
    rules = [rule.strip() for rule in conv.origin.rewrites.split(",")]
    at = next((i for i, rule in enumerate(rules) if rule.startswith("FuseBatchNormInto")), 0)
    return "RemoveOptionalBiasFromConv" not in rules[:at]


def add_recurrent_weights(draft: Draft, fx: FxNode, group: Sequence[Node]) -> None:
    """States of zeros and biases that were merged or folded: their shapes follow from the layer's sizes."""
    outputs = [
        t for n in group for o in n.writes if n.standard_type in ("LSTM", "GRU", "RNN") and (t := draft.type_of(o))
    ]
    y = next((t for t in outputs if len(t.shape) == 4), None)
    if y is None:
        return
    _, ways, batch, hidden = y.shape
    weights, has_biases, layers = fx.args[2:5]
    gates = {"l": 4, "g": 3, "r": 1}[fx.target.removeprefix("aten.")[0]]
    state = TensorType(y.dtype, (layers * ways, batch, hidden))
    _turn_input(draft, fx, group)
    for leaf in leaves([fx.args[1]], Ref):
        if leaf.name not in draft.made and isinstance(resolved(draft, leaf), Lost | Ref):
            draft.emit("aten.zeros", (list(state.shape),), (leaf.name,), group[-1].origin, (state,))
    per = len(weights) // (layers * ways)
    width = draft.type_of(next(n.inputs[0] for n in group if n.standard_type in ("LSTM", "GRU", "RNN")))
    for i, leaf in enumerate(weights):
        inner = width.shape[-1] if width and i < per * ways else hidden * ways
        shape = {0: (gates * hidden, inner), 1: (gates * hidden, hidden)}.get(i % per, (gates * hidden,))
        if isinstance(resolved(draft, leaf), Lost):
            draft.add(leaf.name[2:], "parameter", TensorType(y.dtype, shape))
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
        if node is not None and node.standard_type in ("LSTM", "GRU", "RNN"):
            return list(node.outputs).index(at)
        pending += [n for n in reversed(node.inputs) if n in draft.maker] if node is not None else []
    return None


def _turn_input(draft: Draft, fx: FxNode, group: Sequence[Node]) -> None:
    """Put back a transpose of the layer's input that the optimizer cancelled against the layer's own."""
    inside = {name for node in group for name in node.writes}
    layer = next((n for n in group if n.standard_type in ("LSTM", "GRU", "RNN")), None)
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


_FUNCTION = re.compile(r"\b([A-Z]\w*)\.apply\(")  # of torch.autograd.Function
_NORMS = ("aten._native_batch_norm", "aten.batch_norm", "aten.native_batch_norm")
_RECURRENT = ("aten.lstm", "aten.gru", "aten.rnn_")
_SORTS = ("aten.sort", "aten.topk")


def rename_item(draft: Draft, fx: FxNode, group: Sequence[Node]) -> None:
    """An item of a sequence is the sequence's output of that number."""
    source, index = fx.args
    if isinstance(source, Ref) and isinstance(index, int):
        draft.renamed[fx.name] = _item(source.name, index)
        for node in group:
            if node.standard_type == "SequenceAt":
                draft.renamed[node.outputs[0]] = _item(source.name, index)


def _item(sequence: str, index: int) -> str:
    return f"{sequence}[{index}]"


def raise_exported(draft: Draft, fx: FxNode, group: Sequence[Node]) -> None:
    """Emit the call of the group."""
    draft.origin = group[-1].origin
    _note_function(draft)
    if fx.target.startswith(_NORMS):
        raise_norm(draft, fx, group, _results(draft, fx, group)[0][0])
        return
    if fx.target.startswith(_RECURRENT):
        add_recurrent_weights(draft, fx, group)
    args, kwargs = _arguments(draft, fx, group)
    results = _results(draft, fx, group)
    if fx.target.startswith(_RECURRENT):
        results = recurrent_results(draft, fx, results[0])
    elif fx.target.startswith(_SORTS):
        results = _sorted_results(draft, group) or results
    call = Call(fx.target, tuple(args), *results, kwargs, group[-1].origin)
    is_copy = call.target == "aten.clone.default" and "memory_format" not in call.kwargs
    if is_copy and draft.infers(NO_DROPOUT, call.origin.scope or fx.name, "a copy that keeps its layout"):
        call = Call("aten.dropout", (call.args[0], 0.0, True), call.outputs, call.types, {}, call.origin)
    if call.target.startswith("aten.scaled_dot_product_attention"):
        call = eager_attention(draft, call)
    draft.calls.append(call)
    draft.made.update(call.outputs)


def _note_function(draft: Draft) -> None:
    """A torch.autograd.Function has a backward of its own, which the file does not hold."""
    found = [match for frame in draft.origin.frames if (match := _FUNCTION.search(frame.text))]
    if found:
        told = f"the backward of {found[0][1]} is not in the file: that of its forward's operations is counted"
        issue = Issue("unknown-rule", draft.origin.scope or found[0][1], told)
        if issue not in draft.issues:
            draft.issues.append(issue)


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


def _sorted_results(draft: Draft, group: Sequence[Node]) -> tuple[tuple[str, ...], tuple[TensorType, ...]] | None:
    """Values and indices, read or not, which a sort writes in that order."""
    node = next((n for n in group if n.standard_type == "TopK"), None)
    type_ = draft.type_of(node.outputs[1]) if node is not None else None
    if node is None or type_ is None or not all(node.outputs):
        return None
    x = draft.type_of(node.inputs[0])
    return tuple(node.outputs), (TensorType(x.dtype if x else "float32", type_.shape), type_)


def _is_used(draft: Draft, name: str, members: set[int]) -> bool:
    return name in draft.graph.outputs or any(id(node) not in members for node in draft.users.get(name, ()))


def _arguments(draft: Draft, fx: FxNode, group: Sequence[Node]) -> tuple[list[Any], dict[str, Any]]:
    args = [resolved(draft, arg) for arg in fx.args]
    kwargs = {key: resolved(draft, value) for key, value in fx.kwargs.items()}
    lost = list(dict.fromkeys(leaves([*args, *kwargs.values()], Lost)))
    if not lost:
        return args, kwargs
    known = {ref.name for ref in leaves([*args, *kwargs.values()], Ref)}
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
            weight_of(draft, fx, item, source, group) if item.role else value_of(draft, fx, item, source, group)
        )
    return [put(arg, stand) for arg in args], {key: put(value, stand) for key, value in kwargs.items()}


def _is_numeric(draft: Draft, name: str) -> bool:
    type_ = draft.type_of(name)
    return type_ is not None and ("float" in type_.dtype or type_.elements > 8)
