"""Graph -> Program: exporter metadata where there is some, the structure of the graph elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from graphmem.ir.graph import Graph, Node
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Conclusion, Given, Program, Role
from graphmem.ir.types import TensorType
from graphmem.raising.call_text import parsed
from graphmem.raising.composed import compose
from graphmem.raising.draft import Draft, is_buffer, is_named, spelling
from graphmem.raising.dropouts import note_gaps, place_dropouts
from graphmem.raising.folded import note_missing
from graphmem.raising.in_place import run_in_place
from graphmem.raising.labelled import raise_exported, rename_item
from graphmem.raising.unlabelled import raise_nodes
from graphmem.raising.without_grad import mark_without_grad

SHAPE_TARGETS = ("aten.sym_", "_operator", "operator", "math.", "aten._assert")

VIEWS = ("Cast", "Expand", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")


def raised(graph: Graph, options: TrainingOptions | None = None, without: str = "") -> Program:
    """The ATen program that the graph was exported from; `without` is a kind of inference to leave out."""
    draft = Draft.of(graph, options or TrainingOptions(), without)
    loose: list[Node] = []
    for group in _groups(graph.nodes):
        fx = parsed(group[0].origin.call) if group[0].origin.call else None
        if fx is None or _is_rewritten(group):
            loose.extend(group)
            continue
        if loose:
            raise_nodes(draft, loose)
            loose = []
        if fx.target.endswith("operator.getitem"):
            rename_item(draft, fx, group)
        elif not fx.target.startswith(SHAPE_TARGETS):
            raise_exported(draft, fx, group)
    if loose:
        raise_nodes(draft, loose)
    note_missing(draft)
    compose(draft)
    mark_without_grad(draft)
    run_in_place(draft)
    place_dropouts(draft)
    note_gaps(draft)
    floats = [t for name in graph.outputs if (t := draft.type_of(name)) is not None and "float" in t.dtype]
    given = _given(draft)
    return Program(
        tuple(draft.calls),
        given,
        graph.outputs,
        _noted(draft),
        tuple(draft.issues),
        floats[0] if floats else None,
        _loose(draft, given),
    )


def _loose(draft: Draft, given: Sequence[Given]) -> dict[str, TensorType]:
    """Values that calls read although shape arithmetic made them, such as positions: tensors like any other."""
    made = {g.name for g in given} | {name for call in draft.calls for name in call.outputs}
    read = dict.fromkeys(name for call in draft.calls for name in call.reads if name not in made)
    types = {name: draft.type_of(name) for name in read}
    return {name: type_ for name, type_ in types.items() if type_ is not None}


def _is_rewritten(group: Sequence[Node]) -> bool:
    """True when the exporter's optimizer changed the nodes, so that the text of the call no longer describes them."""
    return len(group) == 1 and bool(group[0].origin.rewrites) and group[0].standard_type in VIEWS


def _groups(nodes: Sequence[Node]) -> list[list[Node]]:
    """Nodes of one ATen call together, at the place of the last of them; shared constants do not count."""
    groups: dict[str, list[Node]] = {}
    place: dict[str, int] = {}
    for i, node in enumerate(nodes):
        key = node.origin.call or f"#{i}"
        groups.setdefault(key, []).append(node)
        if node.standard_type != "Constant" or key not in place:
            place[key] = i
    return [groups[key] for key in sorted(groups, key=lambda k: place[k])]


def _given(draft: Draft) -> tuple[Given, ...]:
    """Inputs, and the weights that calls read, with their roles."""
    read = {name for call in draft.calls for name in call.reads}
    made = []
    for name in draft.graph.inputs:
        type_ = draft.type_of(name)
        if type_ is not None:
            made.append(Given(name, "input", type_))
    for name in draft.held:
        type_ = draft.type_of(name)
        role = _role(draft, name) if type_ is not None else None
        if type_ is None or role is None or name in draft.made:
            continue
        if name in read or draft.graph.signature.get(name) == "buffer" or (role == "buffer" and is_named(name)):
            made.append(Given(name, role, type_))
    made += [g for g in draft.extra.values() if g.name in read or g.role == "buffer"]
    return tuple(_registered(draft, made))


def _role(draft: Draft, name: str) -> Role | None:
    """What an initializer is before the step; None for a constant that eager code computes in it."""
    if name in draft.computed:
        return None
    role = draft.roles.get(name)
    if role is None and draft.graph.signature:
        return "parameter" if draft.graph.signature.get(name) == "parameter" else None
    type_ = draft.type_of(name)
    is_parameter = type_ is not None and "float" in type_.dtype and not is_buffer(draft, name)
    return role or ("parameter" if is_parameter else "buffer")


def _registered(draft: Draft, given: Sequence[Given]) -> list[Given]:
    """In the order of the module's parameters, which optimizers keep: that of the signature, of the file, or of use.

    A file that lacks some of them does not tell their order; modules are mostly made in the order in which they run.
    """
    if draft.graph.signature:
        places = {spelling(name): i for i, name in enumerate(draft.graph.signature)}
    elif any(g.name in draft.extra and g.role == "parameter" for g in given):
        read = dict.fromkeys(name for call in draft.calls for name in call.reads)
        places = {spelling(_plain(name)): i for i, name in enumerate(read)}
    else:
        return list(given)
    return sorted(given, key=lambda g: places.get(spelling(_plain(g.name)), -1) if g.role == "parameter" else -1)


def _plain(name: str) -> str:
    """Without what raising adds to the name of a weight that it turned: "head.weight (transposed)"."""
    return name.partition(" (")[0]


def _noted(draft: Draft) -> tuple[Conclusion, ...]:
    return tuple(dict.fromkeys(draft.inferred))
