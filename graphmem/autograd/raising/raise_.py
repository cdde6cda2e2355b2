"""Graph -> Program: exporter metadata where there is some, the structure of the graph elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from graphmem.autograd.program import Call, Given, Inference, Program, Ref, Role
from graphmem.autograd.raising.fxtext import FxNode, parsed
from graphmem.autograd.registry import rule_of
from graphmem.ir.graph import Graph, Issue, Node
from graphmem.ir.types import TensorType


@dataclass(slots=True)
class Options:
    """What the caller knows and the file does not say."""

    assume_bn: bool = False
    dropout: float | None = None


@dataclass(slots=True)
class Draft:
    """The program as it grows."""

    graph: Graph
    options: Options
    calls: list[Call] = field(default_factory=list)
    roles: dict[str, Role] = field(default_factory=dict)
    extra: list[Given] = field(default_factory=list)
    inferred: list[Inference] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    spelled: dict[str, str] = field(default_factory=dict)  # fx name of a weight -> its name in the file
    made: set[str] = field(default_factory=set)
    users: dict[str, set[str]] = field(default_factory=dict)  # value -> first outputs of the nodes that read it

    def type_of(self, name: str) -> TensorType | None:
        """The exact type of a value of the file."""
        tensor = self.graph.tensors.get(name)
        return tensor.type if tensor is not None and isinstance(tensor.type, TensorType) else None


def raised(graph: Graph, options: Options | None = None) -> Program:
    """The ATen program that the graph was exported from."""
    draft = Draft(graph, options or Options())
    produced = {name for node in graph.nodes for name in node.writes}
    held = [n for n, t in graph.tensors.items() if t.role == "weight" and n not in produced]
    draft.spelled = {_spelling(name): name for name in held}
    for node in graph.nodes:
        for name in node.reads:
            draft.users.setdefault(name, set()).add(node.outputs[0])
    for group in _groups(graph.nodes):
        _raise_group(draft, group)
    given = _given(draft, held)
    floats = [t for name in graph.outputs if (t := draft.type_of(name)) is not None and "float" in t.dtype]
    return Program(
        tuple(draft.calls), given, graph.outputs, tuple(draft.inferred), tuple(draft.issues), floats[0] if floats else None
    )


def _spelling(name: str) -> str:
    """A weight's name as torch.export spells it behind p_, b_ or c_."""
    return "".join(c if c.isalnum() else "_" for c in name).lower()


def _groups(nodes: Sequence[Node]) -> list[list[Node]]:
    """Nodes of one ATen call together, at the place of the last of them."""
    groups: dict[str, list[Node]] = {}
    for i, node in enumerate(nodes):
        key = node.origin.call or f"#{i}"
        groups.setdefault(key, []).append(node)
    place = {node.outputs[0]: i for i, node in enumerate(nodes) if node.outputs}
    return sorted(groups.values(), key=lambda g: max(place.get(n.outputs[0], 0) for n in g))


def _raise_group(draft: Draft, group: list[Node]) -> None:
    fx = parsed(group[0].origin.call) if group[0].origin.call else None
    if fx is None:
        return
    if fx.target.startswith(("aten.sym_", "_operator", "operator", "math.")):
        return
    call = _mended(draft, _exported_call(draft, fx, group))
    draft.calls.append(call)
    draft.made.update(call.outputs)


def _exported_call(draft: Draft, fx: FxNode, group: list[Node]) -> Call:
    inside = {name for node in group for name in node.writes}
    outside = [name for node in group for name in node.reads if name not in inside]
    outputs = _outputs(draft, fx, group, inside)
    args = [_resolved(draft, arg) for arg in fx.args]
    kwargs = {key: _resolved(draft, value) for key, value in fx.kwargs.items()}
    missing = _unresolved(args) + _unresolved(list(kwargs.values()))
    if missing:
        known = set(_names(args) + _names(list(kwargs.values())))
        spare = [name for name in dict.fromkeys(outside) if name not in known and _is_data(draft, name)]
        stand = dict(zip(missing, spare, strict=False))
        args = [_replaced(arg, stand) for arg in args]
        kwargs = {key: _replaced(value, stand) for key, value in kwargs.items()}
    types = tuple(t for t in (draft.type_of(name) for name in outputs) if t is not None)
    return Call(fx.target, tuple(args), outputs, types, kwargs, group[-1].origin)


def _mended(draft: Draft, call: Call) -> Call:
    """Calls that export made of others: a clone that keeps the layout is a dropout of p = 0, which does nothing."""
    if call.target == "aten.clone.default" and "memory_format" not in call.kwargs:
        where = call.origin.scope or call.outputs[0]
        draft.inferred.append(Inference("dropout with p = 0", where, "a clone that keeps its layout"))
        return Call("aten.dropout", (call.args[0], 0.0, True), call.outputs, call.types, {}, call.origin)
    return call


def _is_data(draft: Draft, name: str) -> bool:
    """True for values that a tensor argument may be: not the small integers that shapes are made of."""
    type_ = draft.type_of(name)
    return type_ is not None and (name in draft.made or name in draft.graph.inputs or "float" in type_.dtype or type_.elements > 8)


def _outputs(draft: Draft, fx: FxNode, group: list[Node], inside: set[str]) -> tuple[str, ...]:
    """The group's values that others read: the value of the call's own name, else in order of production."""
    own = [n for node in group for n in node.writes if n == fx.name]
    if own:
        return tuple(own)
    used = [n for node in group for n in node.writes if draft.users.get(n, set()) - inside or n in draft.graph.outputs]
    named = [n for n in used if not n.startswith("val_")]  # the exporter's own names are val_N
    return tuple(named or used or [group[-1].outputs[0]])


@dataclass(frozen=True, slots=True)
class _Missing:
    name: str


def _resolved(draft: Draft, value: object) -> object:
    if isinstance(value, list | tuple):
        return [_resolved(draft, item) for item in value]
    if not isinstance(value, Ref):
        return value
    name = value.name
    if name[:2] in ("p_", "b_", "c_") and name[2:] in draft.spelled:
        found = draft.spelled[name[2:]]
        draft.roles[found] = {"p_": "parameter", "b_": "buffer", "c_": "constant"}[name[:2]]  # type: ignore[assignment]
        return Ref(found)
    if name in draft.made or name in draft.graph.inputs:
        return Ref(name)
    return _Missing(name)


def _unresolved(values: object) -> list[str]:
    if isinstance(values, _Missing):
        return [values.name]
    return [n for v in values for n in _unresolved(v)] if isinstance(values, list | tuple) else []


def _names(values: object) -> list[str]:
    if isinstance(values, Ref):
        return [values.name]
    return [n for v in values for n in _names(v)] if isinstance(values, list | tuple) else []


def _replaced(value: object, stand: dict[str, str]) -> object:
    if isinstance(value, list | tuple):
        return [_replaced(item, stand) for item in value]
    if isinstance(value, _Missing):
        return Ref(stand[value.name]) if value.name in stand else None
    return value


def _given(draft: Draft, held: Sequence[str]) -> tuple[Given, ...]:
    """Inputs, and the weights with their roles."""
    read = {name for call in draft.calls for name in call.reads}
    made = []
    for name in draft.graph.inputs:
        type_ = draft.type_of(name)
        if type_ is not None:
            made.append(Given(name, "input", type_))
    for name in held:
        type_ = draft.type_of(name)
        if type_ is None or (name not in read and name not in draft.roles):
            continue
        role = draft.roles.get(name) or ("parameter" if "float" in type_.dtype else "buffer")
        made.append(Given(name, role, type_))
    return (*made, *draft.extra)


assert rule_of
