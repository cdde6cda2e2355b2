"""An initializer that the exporter's optimizer computed from parameters -> those parameters, as far as can be told.

The optimizer folds what depends on weights alone: learned tokens repeated over the batch, position embeddings looked
up, scales with dimensions put in. The result keeps the name that torch.fx gave the last operation ("expand_1"); the
parameters that it was made of are missing in the file, but the signature of the exported program lists them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import permutations
from math import prod

from graphmem.ir.graph import Issue
from graphmem.ir.program import Ref
from graphmem.ir.types import TensorType
from graphmem.raising.draft import Draft, spelling

FOLDED = "parameter folded into a constant"
ROWS = "embedding folded into a constant"
_OPERATION = re.compile(r"^([a-z_]*[a-z][a-z0-9]*?)(?:_\d+)?$")
_PIECE = re.compile(r"^(.+)_split_(\d+)$")
_REPEATED = ("expand", "repeat")
_MOVED = ("view", "reshape", "unsqueeze", "squeeze", "transpose", "permute", "clone", "index", "slice", "select", "cat")


def missing_parameters(draft: Draft) -> list[str]:
    """Parameters of the program that neither the file nor the text of any call names, in their order."""
    parameters = [name for name, role in draft.graph.signature.items() if role == "parameter"]
    if not parameters:
        return []
    named = {word for node in draft.graph.nodes for word in re.findall(r"%p_(\w+)", node.origin.call)}
    return [n for n in parameters if n not in draft.graph.tensors and spelling(n) not in {w.lower() for w in named}]


def note_missing(draft: Draft) -> None:
    """An issue when parameters that are nowhere in the file may be in constants whose making nothing tells.

    Without such constants they are unused, or other names of a parameter that the file has.
    """
    types = [t for name in draft.computed if (t := draft.type_of(name)) is not None]
    missing = missing_parameters(draft) if draft.missing is None else draft.missing
    if missing and any("float" in t.dtype and t.elements > 1 for t in types):
        others = f" and {len(missing) - 1} more parameters" if len(missing) > 1 else ""
        told = f"'{missing[0]}'{others} of the exported program may be folded into constants, and are not counted"
        draft.issues.append(Issue("unknown-shape", missing[0], told))


def folded_parameter(draft: Draft, name: str) -> Ref | None:
    """The value of `name` computed again from a parameter, or None when it is a constant indeed."""
    type_, found = draft.type_of(name), _OPERATION.match(name)
    if type_ is None or found is None or "float" not in type_.dtype or not type_.shape:
        return None
    if name in draft.made:
        return Ref(name)
    if draft.missing is None:
        draft.missing = missing_parameters(draft)
    operation = found[1].removesuffix("_copy")
    if operation == "embedding" and len(type_.shape) > 1:
        return folded_rows(draft, name, name, type_)
    if operation not in (*_REPEATED, *_MOVED):
        return None
    turned = _turned(draft, name, type_)
    if turned is not None or not draft.missing:
        return turned
    shape = (1, *type_.shape[1:]) if operation in _REPEATED else type_.shape
    parameter = draft.missing.pop(0)
    draft.note(FOLDED, parameter, f"its name is in the signature, '{name}' in the file")
    source = draft.add(parameter, "parameter", TensorType(type_.dtype, shape))
    target = f"aten.{operation}" if operation in _REPEATED else "aten.view"
    times = [a // b for a, b in zip(type_.shape, shape, strict=True)]
    sizes = times if operation == "repeat" else list(type_.shape)
    draft.emit(target, (source, sizes), (name,), draft.origin, (type_,))
    draft.folded.append(name)
    return Ref(name)


def equal_parameter(draft: Draft, name: str, source: str) -> Ref | None:
    """A second parameter whose folded value was merged with an equal one; None for another name of the same value."""
    before = draft.maker_of(source) if source in draft.folded and draft.missing else None
    if before is None or not draft.missing or not _OPERATION.match(name):
        return None
    given = next(
        (draft.extra[ref.name] for ref in before.args if isinstance(ref, Ref) and ref.name in draft.extra), None
    )
    if given is None:
        return None
    parameter = draft.missing.pop(0)
    draft.note(FOLDED, parameter, f"'{name}' in the text, equal to '{source}' in the file")
    copy = draft.add(parameter, "parameter", given.type)
    draft.emit(before.target, (copy, *before.args[1:]), (name,), draft.origin, before.types)
    return Ref(name)


def _turned(draft: Draft, name: str, type_: TensorType) -> Ref | None:
    """A constant with the elements of one that was found before, its dimensions in another order."""
    for before in draft.folded:
        shape = draft.type_of(before)
        if shape is None or sorted(shape.shape) != sorted(type_.shape) or shape.shape == type_.shape:
            continue
        order = next(
            o for o in permutations(range(len(shape.shape))) if tuple(shape.shape[d] for d in o) == type_.shape
        )
        draft.emit("aten.permute", (Ref(before), list(order)), (name,), draft.origin, (type_,))
        return Ref(name)
    return None


def folded_rows(draft: Draft, name: str, output: str, type_: TensorType) -> Ref:
    """The rows that positions looked up, as `output`; how many more the table has, the file does not say."""
    parameter = _next_missing(draft, "weight", ("pos", "wpe")) or f"{name} table"
    rows = prod(type_.shape[1:-1]) if len(type_.shape) > 2 else type_.shape[0]
    draft.note(ROWS, parameter, f"'{name}' in the file has {rows} rows")
    told = f"only {rows} rows of this table are in the file, as '{name}'; what more it has is not counted"
    draft.issues.append(Issue("unknown-shape", parameter, told))
    source = draft.add(parameter, "parameter", TensorType(type_.dtype, (rows, type_.shape[-1])))
    ids = draft.add(f"{name} positions", "constant", TensorType("int64", type_.shape[:-1]))
    draft.emit("aten.embedding", (source, ids), (output,), draft.origin, (type_,))
    return Ref(output)


def folded_piece(draft: Draft, name: str) -> Ref | None:
    """A piece of a parameter that was split before the run, such as the packed projection of attention; or None."""
    if name in draft.made:
        return None
    maker, found = draft.maker.get(name), _PIECE.match(name)
    if maker is not None and maker.standard_type == "Split" and maker.inputs[0] in draft.held:
        source, pieces = Ref(maker.inputs[0]), list(maker.writes)
        draft.roles[source.name] = "parameter"
    elif found is not None and name in draft.held:
        pieces = sorted((n for n in draft.held if n.startswith(f"{found[1]}_split_")), key=lambda n: (len(n), n))
        whole = _whole(draft, found[1], pieces)
        if whole is None:
            return None
        source = whole
    else:
        return None
    sizes = [t.shape[0] for t in map(draft.type_of, pieces) if t is not None]
    draft.emit("aten.split_with_sizes", (source, sizes, 0), tuple(pieces), draft.origin)
    return Ref(name)


def _whole(draft: Draft, title: str, pieces: Sequence[str]) -> Ref | None:
    """The parameter that these initializers are pieces of."""
    types = [t for t in map(draft.type_of, pieces) if t is not None]
    parameter = _next_missing(draft, "weight" if types and len(types[0].shape) > 1 else "bias")
    if parameter is None:
        return None
    draft.note(FOLDED, parameter, f"its name is in the signature, its pieces '{title}_split_...' in the file")
    shape = (sum(t.shape[0] for t in types), *types[0].shape[1:])
    return draft.add(parameter, "parameter", TensorType(types[0].dtype, shape))


def _next_missing(draft: Draft, ending: str, hints: Sequence[str] = ("",)) -> str | None:
    """The first of the missing parameters with that ending, one with a hint in its name before others."""
    if draft.missing is None:
        draft.missing = missing_parameters(draft)
    found = [n for n in draft.missing if n.endswith(ending)]
    hinted = [n for n in found if any(hint in n for hint in hints)]
    if not found:
        return None
    name = (hinted or found)[0]
    draft.missing.remove(name)
    return name
