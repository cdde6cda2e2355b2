"""Calls of an export -> the calls of the eager code, where the exporter wrote one in several or under another's name.

index_add     index_put that adds, at one index                                       (torch/_decomp/decompositions.py)
_weight_norm  linalg_vector_norm over all dimensions but one, g / norm, v * that      (the same)
"""

from __future__ import annotations

from dataclasses import replace

from graphmem.ir.program import Call, Ref
from graphmem.raising.draft import Draft


def compose(draft: Draft) -> None:
    """Put the calls of the eager code in the place of what stands for them."""
    draft.calls = [_index_add(call) for call in draft.calls]
    readers: dict[str, list[Call]] = {}
    for call in draft.calls:
        for name in call.reads:
            readers.setdefault(name, []).append(call)
    for norm in [call for call in draft.calls if call.target.startswith("aten.linalg_vector_norm")]:
        _weight_norm(draft, norm, readers)


def _index_add(call: Call) -> Call:
    """Python code that means index_put_ says so in its line."""
    if not call.target.startswith("aten.index_put") or len(call.args) < 4 or not call.args[3]:
        return call
    x, indices, source = call.args[:3]
    if sum(index is not None for index in indices) != 1 or any("index_put" in f.text for f in call.origin.frames):
        return call
    dim = len(indices) - 1
    return replace(call, target="aten.index_add", args=(x, dim, indices[dim], source))


def _weight_norm(draft: Draft, norm: Call, readers: dict[str, list[Call]]) -> None:
    """v * (g / norm(v)), as one call, which torch has a kernel for along the first and the last dimension."""
    v, rank = norm.args[0], len(norm.types[0].shape) if norm.types else 0
    divide = _only(readers, norm)
    multiply = _only(readers, divide) if divide is not None else None
    if divide is None or multiply is None or not isinstance(v, Ref) or len(norm.args) < 4 or not norm.args[3]:
        return
    kept = set(range(rank)) - {dim % rank for dim in norm.args[2] or ()}
    if norm.args[1] != 2 or len(kept) != 1 or not kept & {0, rank - 1}:
        return
    is_quotient = divide.target.startswith("aten.div") and divide.args[1] == Ref(norm.outputs[0])
    if not is_quotient or not multiply.target.startswith("aten.mul") or multiply.args[0] != v:
        return
    weight = replace(multiply, target="aten._weight_norm", args=(v, divide.args[0], kept.pop()))
    draft.calls = [weight if call is multiply else call for call in draft.calls if call not in (norm, divide)]


def _only(readers: dict[str, list[Call]], call: Call) -> Call | None:
    found = readers.get(call.outputs[0], [])
    return found[0] if len(found) == 1 and len(found[0].args) >= 2 else None
