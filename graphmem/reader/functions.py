"""ModelProto -> the same model without local functions: every call replaced by the function's body.

ONNX's inliner does it, once calls have the default attributes written out, which it drops. It leaves functions that
import another opset than the model: those are written out here, each node marked with the opsets that it means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count, zip_longest
from typing import TypeAlias

import onnx

from graphmem.ir.errors import ModelError

# Nodes, and bytes, that the calls of local functions may expand to.
MAX_NODES = 100_000
MAX_EXPANDED = 1 << 28
# Key of a node's metadata under which the opsets of its function stand, as "domain=version,...".
OPSETS = "graphmem.opsets"
Key: TypeAlias = "tuple[str, str]"


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model without local functions."""
    if not model.functions:
        return model
    import onnx.inliner

    check_calls(model)
    _write_defaults(model)
    try:
        model = onnx.inliner.inline_local_functions(model)
    except Exception as error:  # the C++ inliner raises RuntimeError and ValidationError of several modules
        raise ModelError(f"the model's local functions cannot be inlined: {' '.join(str(error).split())}") from error
    functions = {(f.domain, f.name): f for f in model.functions}
    if functions.keys() & set(called(model.graph.node)):
        _Writer(functions).expand(model.graph)
    return model


def opsets_of(node: onnx.NodeProto) -> dict[str, int] | None:
    """The opsets that the node's function imported, where they are not the model's."""
    for entry in node.metadata_props:
        if entry.key == OPSETS:
            return {domain: int(version) for domain, _, version in (p.rpartition("=") for p in entry.value.split(","))}
    return None


def _all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    pending = list(nodes)
    while pending:
        node = pending.pop()
        yield node
        for attribute in node.attribute:
            pending.extend(attribute.g.node)
            for graph in attribute.graphs:
                pending.extend(graph.node)


def called(nodes: Iterable[onnx.NodeProto]) -> list[Key]:
    """(domain, operator) of every node, those of bodies included."""
    return [(node.domain, node.op_type) for node in _all_nodes(nodes)]


def _write_defaults(model: onnx.ModelProto) -> None:
    defaults = {(f.domain, f.name): list(f.attribute_proto) for f in model.functions if f.attribute_proto}
    if not defaults:
        return
    for nodes in (model.graph.node, *(f.node for f in model.functions)):
        for node in _all_nodes(nodes):
            given = {attribute.name for attribute in node.attribute}
            node.attribute.extend(a for a in defaults.get((node.domain, node.op_type), ()) if a.name not in given)


class _Writer:
    """Writes the bodies of functions in place of their calls; every name inside gets a prefix of its own."""

    def __init__(self, functions: Mapping[Key, onnx.FunctionProto]) -> None:
        self._functions = functions
        self._calls = count(1)

    def expand(self, graph: onnx.GraphProto) -> None:
        """Replace the calls in the graph and in its bodies."""
        nodes = [made for node in graph.node for made in self._expanded(node)]
        del graph.node[:]
        graph.node.extend(nodes)

    def _expanded(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        function = self._functions.get((node.domain, node.op_type))
        if function is None:
            for attribute in node.attribute:
                for body in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                    self.expand(body)
            yield node
            return
        for made in _body(node, function, f"{function.name}__{next(self._calls)}_"):
            yield from self._expanded(made)


def _body(call: onnx.NodeProto, function: onnx.FunctionProto, prefix: str) -> Iterator[onnx.NodeProto]:
    """The nodes of one call, its attributes and names put in."""
    names = dict(zip_longest(function.input, call.input[: len(function.input)], fillvalue=""))
    passed = [name for name in function.output if name in names]
    names |= {
        formal: actual for formal, actual in zip(function.output, call.output, strict=False) if formal not in names
    }
    given = {attribute.name: attribute for attribute in call.attribute}
    opsets = ",".join(f"{'' if o.domain == 'ai.onnx' else o.domain}={o.version}" for o in function.opset_import)
    for node in function.node:
        made = _renamed(node, names, prefix, given)
        made.name = f"{call.name or prefix.rstrip('_')}/{node.name or node.op_type}"
        if all(entry.key != OPSETS for entry in made.metadata_props):
            made.metadata_props.add(key=OPSETS, value=opsets)
        yield made
    for formal, actual in zip(function.output, call.output, strict=False):
        if formal in passed and actual:
            yield onnx.helper.make_node("Identity", [names[formal]], [actual])


def _renamed(
    node: onnx.NodeProto, names: Mapping[str, str], prefix: str, given: Mapping[str, onnx.AttributeProto]
) -> onnx.NodeProto:
    made = onnx.NodeProto()
    made.CopyFrom(node)
    for field in (made.input, made.output):
        renamed = [names.get(name, prefix + name) if name else "" for name in field]
        del field[:]
        field.extend(renamed)
    del made.attribute[:]
    for attribute in node.attribute:
        if attribute.ref_attr_name and attribute.ref_attr_name not in given:
            continue  # an optional attribute that the call leaves out
        kept = made.attribute.add()
        kept.CopyFrom(given[attribute.ref_attr_name] if attribute.ref_attr_name else attribute)
        kept.name = attribute.name
        for body in (kept.g, *kept.graphs) if kept.HasField("g") else kept.graphs:
            _rename_body(body, names, prefix, given)
    return made


def _rename_body(
    body: onnx.GraphProto, names: Mapping[str, str], prefix: str, given: Mapping[str, onnx.AttributeProto]
) -> None:
    """A body inside a function: its own names hide those of the function."""
    own = {info.name for info in body.input} | {held.name for held in body.initializer}
    inner = {formal: actual for formal, actual in names.items() if formal not in own}
    for info in (*body.input, *body.output, *body.initializer, *body.value_info):
        info.name = inner.get(info.name, prefix + info.name)
    nodes = [_renamed(node, inner, prefix, given) for node in body.node]
    del body.node[:]
    body.node.extend(nodes)


def check_calls(model: onnx.ModelProto) -> None:
    """ModelError when a local function calls itself, directly or not, or calls multiply beyond all bounds."""
    calls = {(f.domain, f.name): called(f.node) for f in model.functions}
    own = {(f.domain, f.name): f.ByteSize() for f in model.functions}
    sizes: dict[Key, tuple[int, int]] = {}  # nodes and bytes once inlined; of functions that are done
    for root, callees in calls.items():
        stack = [] if root in sizes else [(root, iter(callees))]
        active = {root}
        while stack:
            function, rest = stack[-1]
            callee = next((c for c in rest if c in calls and c not in sizes), None)
            if callee in active:
                raise ModelError(f"local function '{callee[1]}' calls itself; a model's functions must not recurse")
            if callee is not None:
                active.add(callee)
                stack.append((callee, iter(calls[callee])))
                continue
            sizes[function] = _expanded(calls[function], sizes, own[function])
            active.discard(function)
            stack.pop()
    nodes, nbytes = _expanded([key for key in called(model.graph.node) if key in calls], sizes, 0)
    if nodes > MAX_NODES or nbytes > MAX_EXPANDED:
        what = f"{MAX_NODES:,} nodes" if nodes > MAX_NODES else f"{MAX_EXPANDED:,} bytes"
        raise ModelError(f"the model's local functions expand to more than {what}; export it without them")


def _expanded(keys: Iterable[Key], sizes: Mapping[Key, tuple[int, int]], nbytes: int) -> tuple[int, int]:
    """Nodes and bytes of these calls once each is replaced, beside `nbytes` of their own."""
    rows = [sizes.get(key, (1, 0)) for key in keys]
    return sum(nodes for nodes, _ in rows), nbytes + sum(size for _, size in rows)
