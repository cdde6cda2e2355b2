"""Calls of an export -> the same, marked where the eager code runs them under torch.no_grad().

torch.export puts such a region into a graph of its own and inlines that, so its calls carry a generated line of that
graph instead of the source's: `clamp_min_ = torch.ops.aten.clamp_min_.default(norm, 1e-12)`, which tells too what runs
in place. Regions of torch.autocast look the same, but name their parameters arg2_1 instead of p_head_weight.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from graphmem.ir.program import Call, Ref
from graphmem.ir.types import TensorType
from graphmem.raising.draft import Draft, spelling

NO_GRAD = "calls under no_grad"
_GENERATED = "<eval_with_key>"
_LIFTED = re.compile(r"\barg\d+_1\b")
_LINE = re.compile(r"^\w+ = torch\.ops\.aten\.(\w+)\.(\w+)\((.*?)\)(?:;|$)")
_OUT = re.compile(r"\bout = (\w+)")


def mark_without_grad(draft: Draft) -> None:
    """Set `is_recorded` of the calls in such regions to False, and let what runs in place allocate nothing."""
    regions: dict[str, list[int]] = {}
    for i, call in enumerate(draft.calls):
        frames = call.origin.frames
        if frames and frames[0].file.startswith(_GENERATED):
            regions.setdefault(frames[0].file, []).append(i)
    for places in regions.values():
        if any(_LIFTED.search(draft.calls[i].origin.frames[-1].text) for i in places):
            continue
        if _is_trained(draft, [draft.calls[i] for i in places]):
            draft.note(NO_GRAD, draft.calls[places[0]].origin.scope, "a graph of its own in the exporter's tracebacks")
        for i in places:
            draft.calls[i] = _in_place(draft, replace(draft.calls[i], is_recorded=False))


def _is_trained(draft: Draft, calls: Sequence[Call]) -> bool:
    """True when something that the calls read may need a gradient."""
    inside = {name for call in calls for name in call.outputs}
    read = {name for call in calls for name in call.reads} - inside
    return any((type_ := draft.type_of(name)) is not None and "float" in type_.dtype for name in read)


def _in_place(draft: Draft, call: Call) -> Call:
    """An operation that the generated line writes in place, or into a tensor that is there: a name for that tensor."""
    line = _LINE.match(call.origin.frames[-1].text)
    if line is None or not call.args or not isinstance(call.args[0], Ref) or len(call.outputs) != 1:
        return call
    name, overload, arguments = line.groups()
    if not call.target.startswith(f"aten.{name.removesuffix('_')}"):
        return call
    if name.endswith("_") and not name.endswith("__"):
        return replace(call, target="aten.alias", args=(call.args[0],), kwargs={})
    out = _OUT.search(arguments)
    if overload != "out" or out is None or not call.types:
        return call
    return replace(call, target="aten.alias", args=(_written(draft, out[1], call.types[0]),), kwargs={})


def _written(draft: Draft, name: str, type_: TensorType) -> Ref:
    """The buffer that the call writes into; one that nothing reads before is in no other place of the file."""
    own = name.removeprefix("b_")
    known = draft.spelled.get(own)
    signed = next((n for n in draft.graph.signature if spelling(n) == own), own)
    return Ref(known) if known is not None else draft.add(signed, "buffer", type_)
