"""A group of nodes with the text of its torch.fx call -> that call, its arguments found again in the file.

A batch norm in the exporter's text -> the batch norm, put back where the optimizer folded it into a convolution.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphmem.ir.graph import Issue, Node
from graphmem.ir.program import Call, Ref
from graphmem.ir.types import SequenceType, TensorType
from graphmem.raising.call_text import FxNode
from graphmem.raising.draft import NO_DROPOUT, NORM, Draft
from graphmem.raising.eager_attention import eager_attention
from graphmem.raising.operands import operand
from graphmem.raising.recurrent import add_recurrent_weights, recurrent_results
from graphmem.raising.removed import ROLES, Lost, leaves, padded, put, resolved, value_of, weight_of
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
    if not draft.infers(NORM, scope, f"rule FuseBatchNormInto{conv.standard_type}"):
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


_FUNCTION = re.compile(r"\b([A-Z]\w*)\.apply\(")  # of torch.autograd.Function
_NORMS = ("aten._native_batch_norm", "aten.batch_norm", "aten.native_batch_norm")
_RECURRENT = ("aten.lstm", "aten.gru", "aten.rnn_")
COPIES = ("clone", "detach")
VIEWS = ("expand", "permute", "reshape", "squeeze", "transpose", "unsafe_view", "unsqueeze", "view")
INNER_VIEWS = ("Unsqueeze", "Squeeze", "Reshape", "Transpose", "Identity")
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
    if len(call.outputs) == 1 and fx.name not in draft.made:
        draft.renamed[fx.name] = call.outputs[0]


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
        if any(node.bodies for node in group) and not fx.target.startswith("higher_order"):
            named = named[-1:]  # the exporter's function for the call, whose loop comes last
        outputs = tuple(named or used[-1:] or [group[-1].outputs[0]])  # a call that was merged may read an inner value
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
    order = _attended(draft, group, inside) if "scaled_dot_product" in fx.target else []
    reads = dict.fromkeys(n for n in (*order, *(n for node in group for n in node.reads)) if n not in inside)
    outside = {n: seen for n in reads if n not in known and (seen := _seen_through(draft, n)) not in known}
    stand: dict[str, Any] = {}
    for item, source in _sources(draft, lost, outside):
        seen, type_ = outside.get(source or "", ""), draft.type_of(source or "")
        if source and seen != source and source not in draft.made and type_ is not None and not item.role:
            draft.emit("aten.view", (Ref(seen), list(type_.shape)), (source,), group[-1].origin)
        stand[item.name] = (
            weight_of(draft, fx, item, source, group) if item.role else value_of(draft, fx, item, source, group)
        )
    return [put(arg, stand) for arg in args], {key: put(value, stand) for key, value in kwargs.items()}


def _attended(draft: Draft, group: Sequence[Node], inside: set[str]) -> list[str]:
    """Query, key and value of attention that is written out: the key comes first where it is turned first."""
    products = [node for node in group if node.standard_type == "MatMul"]
    if len(products) != 2:
        return []
    found = []
    for name in (*products[0].inputs, products[1].inputs[1]):
        found.append(name)
        while found[-1] in inside:
            found[-1] = draft.maker[found[-1]].inputs[0]
    return found


def _sources(draft: Draft, lost: Sequence[Lost], outside: Mapping[str, str]) -> list[tuple[Lost, str | None]]:
    """What the group reads for each lost argument: the result of an equal call if there is one, else in their order.

    `outside` are the values that it reads, and what those are views of: a lost view stands for the view.
    """
    data = [n for n, seen in outside.items() if any(m in draft.made or m in draft.renamed for m in (n, seen))]
    data += [n for n in outside if n in draft.graph.inputs and n not in data]
    data.sort(key=list(outside).index)
    weights = [n for n in outside if n not in data and _is_numeric(draft, n)]
    found: dict[str, str] = {}
    for item in lost:
        equal = next((n for n in data if _is_before(outside[n], item.name)), None)
        if equal is not None and item.role is None:
            found[item.name] = outside[equal]
            data.remove(equal)
    for item in lost:
        pool = weights if item.role else data or weights
        if item.name not in found and pool:
            name = pool.pop(0)
            found[item.name] = name if _operation(item.name) in VIEWS else outside[name]
    return [(item, found.get(item.name)) for item in lost]


def _is_before(name: str, lost: str) -> bool:
    """True for the result of an earlier call of the same operation, which the optimizer keeps of two that are equal."""
    operation = _operation(lost)
    if operation in COPIES or _operation(name) != operation:
        return False
    numbers = [text.rpartition("_")[2] for text in (name, lost)]
    return int(numbers[0] if numbers[0].isdigit() else 0) < int(numbers[1] if numbers[1].isdigit() else 0)


def _operation(name: str) -> str:
    """The operation that torch.fx names a value after: select_3 is the result of a select."""
    return name.rstrip("0123456789").strip("_")


def _seen_through(draft: Draft, name: str) -> str:
    """What an inner value of another call is a view of, where that call has been raised without it."""
    node, seen = draft.maker.get(name), name
    while node is not None and seen not in draft.made and node.standard_type in INNER_VIEWS and node.origin.call:
        seen = node.inputs[0]
        node = draft.maker.get(seen)
    return seen if seen in draft.made or seen in draft.graph.inputs else name


def _is_numeric(draft: Draft, name: str) -> bool:
    type_ = draft.type_of(name)
    return type_ is not None and ("float" in type_.dtype or type_.elements > 8)
