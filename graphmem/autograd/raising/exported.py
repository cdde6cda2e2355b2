"""A group of nodes with the text of its torch.fx call -> that call, its arguments found again in the file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from graphmem.autograd.program import Call, Ref
from graphmem.autograd.raising.attention import eager_attention
from graphmem.autograd.raising.draft import NO_DROPOUT, Draft
from graphmem.autograd.raising.fxtext import FxNode
from graphmem.autograd.raising.lost import Lost, leaves, put, resolved, value_of, weight_of
from graphmem.autograd.raising.norms import raise_norm
from graphmem.autograd.raising.recurrent import add_recurrent_weights, recurrent_results
from graphmem.ir.graph import Issue, Node
from graphmem.ir.types import SequenceType, TensorType

_FUNCTION = re.compile(r"\b([A-Z]\w*)\.apply\(")  # of torch.autograd.Function
_NORMS = ("aten._native_batch_norm", "aten.batch_norm", "aten.native_batch_norm")
_RECURRENT = ("aten.lstm", "aten.gru", "aten.rnn_")


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
