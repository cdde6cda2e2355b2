"""Attention under export -> attention in eager code, where the two are known to differ.

Hugging Face transformers (integrations/sdpa_attention.py, masking_utils.py, 4.55 to 5.23) build an explicit causal mask
and repeat the heads of keys and values while they are traced; in eager code without padding they pass no mask,
is_causal and enable_gqa.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from graphmem.ir.program import Call, Ref
from graphmem.ir.types import TensorType
from graphmem.raising.draft import MASK, REPEAT, Draft
from graphmem.raising.operands import is_weight

_LAYOUT_COPY = re.compile(
    r"target=torch\.ops\.aten\.(clone|_unsafe_view|view|reshape|select|unbind|transpose|permute)\."
)
_REPEAT = ("aten._unsafe_view", "aten.view", "aten.reshape", "aten.clone", "aten.expand", "aten.unsqueeze")


def eager_attention(draft: Draft, call: Call) -> Call:
    """The call as eager code makes it; the same call outside of transformers, or with a mask that data decides."""
    args = list(call.args) + [None] * (6 - len(call.args))
    call = Call(call.target, _with_heads(draft, call), call.outputs, call.types, call.kwargs, call.origin)
    args[:3] = call.args[:3]
    p = draft.p_after("Softmax") if draft.options.dropout is not None else 0.0
    if p and not args[4] and _lost_dropout(draft):
        args[4] = p
        call = Call(call.target, tuple(args), call.outputs, call.types, call.kwargs, call.origin)
    mask = args[3]
    if "transformers." not in call.origin.module or not isinstance(mask, Ref) or not _is_settled(draft, mask.name):
        return call
    if _is_windowed(draft, mask.name):
        return call
    where = call.origin.scope
    if not draft.infers(MASK, where, "transformers builds its mask only under export"):
        return call
    args[3], args[5] = None, True
    kwargs = dict(call.kwargs)
    sources = [_before_repeat(draft, ref) for ref in args[1:3]] if draft.without != REPEAT else [None]
    if all(source is not None for source in sources):
        draft.note(REPEAT, where, "transformers repeats keys and values only with a mask")
        args[1:3] = sources
        kwargs["enable_gqa"] = True
    return Call(call.target, tuple(args), call.outputs, call.types, kwargs, call.origin)


def _lost_dropout(draft: Draft) -> bool:
    """True when some call reads a copy that is no copy of layout: what a dropout becomes in evaluation mode."""
    texts = {node.origin.call for node in draft.graph.nodes if "%clone" in node.origin.call}
    return any(not _LAYOUT_COPY.search(text) for text in texts)


def _with_heads(draft: Draft, call: Call) -> tuple[Any, ...]:
    """The arguments with keys and values in four dimensions, where the optimizer merged away their view."""
    args = list(call.args)
    query = draft.type_of(args[0].name) if isinstance(args[0], Ref) else None
    for i in (1, 2):
        type_ = draft.type_of(args[i].name) if isinstance(args[i], Ref) else None
        if query is None or type_ is None or len(query.shape) != 4 or len(type_.shape) != 3:
            continue
        length, width = type_.shape[-2:]
        shape = (query.shape[0], type_.elements // (query.shape[0] * length * width), length, width)
        name = f"{call.outputs[0]} operand {i}"
        draft.emit("aten.view", (args[i], list(shape)), (name,), call.origin, (TensorType(type_.dtype, shape),))
        args[i] = Ref(name)
    return tuple(args)


def _is_settled(draft: Draft, name: str) -> bool:
    """True when no input of the model decides the value."""
    return name in draft.static or is_weight(draft, name)


def _is_windowed(draft: Draft, name: str) -> bool:
    """True when the mask lets no query see further than a window that the keys fill: eager code builds it too.

    transformers (masking_utils.py) writes it as key > query - size, as |query - key| <= size, or as
    query // size == key // size, and leaves it out where there are fewer keys than that.
    """
    type_, made = draft.type_of(name), {out: call for call in draft.calls for out in call.outputs}
    pending, seen = [name], {name}
    while pending:
        call = made.get(pending.pop())
        if call is None:
            continue
        size = _window(call, made)
        if size and type_ is not None and type_.shape[-1] >= size:
            return True
        pending += [n for n in call.reads if n not in seen]
        seen.update(call.reads)
    return False


def _window(call: Call, made: Mapping[str, Call]) -> int:
    """The size that a comparison compares with, or 0."""
    makers = [made[arg.name] for arg in call.args if isinstance(arg, Ref) and arg.name in made]
    if call.target.startswith("aten.gt") and len(makers) == 2 and makers[1].target.startswith("aten.sub"):
        return _size(makers[1])
    if call.target.startswith(("aten.le", "aten.lt")) and makers and makers[0].target.startswith("aten.abs"):
        return _size(call)
    if call.target.startswith("aten.eq") and makers and "floor" in (makers[0].target + str(makers[0].kwargs)):
        return _size(makers[0])
    return 0


def _size(call: Call) -> int:
    return next((arg for arg in call.args if isinstance(arg, int) and arg > 0), 0)


def _before_repeat(draft: Draft, ref: object) -> Ref | None:
    """What the heads were repeated from; the calls that repeat them are taken out of the program."""
    gone: list[int] = []
    name = ref.name if isinstance(ref, Ref) else ""
    targets: list[str] = []
    for position in range(len(draft.calls) - 1, max(-1, len(draft.calls) - 60), -1):
        call = draft.calls[position]
        if call.outputs[:1] != (name,):
            continue
        target = ".".join(call.target.split(".")[:2])
        if target not in _REPEAT or not isinstance(call.args[0], Ref):
            break
        gone.append(position)
        targets.append(target)
        name = call.args[0].name
        if target == "aten.unsqueeze":
            break
    if not targets or targets[-1] != "aten.unsqueeze" or "aten.expand" not in targets:
        return None
    for position in gone:
        del draft.calls[position]
    return Ref(name)
