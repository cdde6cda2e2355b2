"""Calls of an export -> the calls of the eager code, where the exporter wrote one in several or under another's name.

index_add     index_put that adds, at one index                                       (torch/_decomp/decompositions.py)
..._cell      everything that runs under a line of torch.nn's LSTMCell, GRUCell or RNNCell
_weight_norm  linalg_vector_norm over all dimensions but one, g / norm, v * that      (the same)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from graphmem.ir.program import Call, Ref
from graphmem.raising.draft import Draft

_CELL = re.compile(r"\b_VF\.(lstm|gru|rnn_tanh|rnn_relu)_cell\(")  # torch/nn/modules/rnn.py


def compose(draft: Draft) -> None:
    """Put the calls of the eager code in the place of what stands for them."""
    draft.calls = _with_cells([_index_add(call) for call in draft.calls])
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


def _with_cells(calls: Sequence[Call]) -> list[Call]:
    """The calls of each recurrent cell as one; a cell begins with the product of its input."""
    found: list[Call] = []
    run: list[Call] = []
    for call in calls:
        kind = _cell_of(call)
        goes_on = run and kind == _cell_of(run[0]) and call.origin.path == run[0].origin.path
        inside = not call.origin.frames and set(call.reads) <= {name for one in run for name in one.outputs}
        if not inside and (not goes_on or (call.target, call.args[1:2]) == (run[0].target, run[0].args[1:2])):
            found += _as_cell(run)
            run = []
        (run if kind or (run and inside) else found).append(call)
    return [*found, *_as_cell(run)]


def _cell_of(call: Call) -> str:
    match = _CELL.search(call.origin.frames[-1].text) if call.origin.frames else None
    return match[1] if match else ""


def _as_cell(run: Sequence[Call]) -> list[Call]:
    """One call of the cell, or the calls as they are where two products are not what they begin with."""
    products = [call for call in run if call.target.startswith(("aten.linear", "aten.addmm", "aten.mm"))]
    if len(products) != 2 or any(not call.target.startswith("aten.linear") for call in products):
        return list(run)
    kind = _cell_of(run[0])
    made = {name: call for call in run for name in call.outputs}
    ordered = products if kind == "gru" else reversed(products)  # the others begin with the hidden state
    (x, w_in, *b_in), (hidden, w_hidden, *b_hidden) = (call.args for call in ordered)
    outputs, types, states = run[-1].outputs, run[-1].types, hidden
    if kind == "lstm":
        state = next(call for call in reversed(run) if call.target.startswith("aten.add"))
        before = [ref for call in run for ref in call.args if isinstance(ref, Ref) and ref.name not in made]
        cell = next((ref for ref in before if ref not in (x, hidden, w_in, w_hidden, *b_in, *b_hidden)), hidden)
        outputs, types, states = (*outputs, *state.outputs), (*types, *state.types), [hidden, cell]
    args = (x, states, w_in, w_hidden, *b_in, *b_hidden)
    return [replace(run[-1], target=f"aten.{kind}_cell", args=args, outputs=outputs, types=types, kwargs={})]
