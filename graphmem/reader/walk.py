"""GraphProto -> Graph: one walk over the nodes that types every tensor and finds out what is fixed before the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx

from graphmem.ir.budget import Budget
from graphmem.ir.errors import ModelError, OptionError
from graphmem.ir.graph import Graph, Issue, Node, Tensor
from graphmem.ir.types import TensorType, Type, UnknownType
from graphmem.reader.constants import constant_of, initializer_type, initializer_value
from graphmem.reader.control import outcome
from graphmem.reader.dims import stated_type
from graphmem.reader.evaluate import is_deterministic
from graphmem.reader.held import Held, Outcome
from graphmem.reader.infer import NodeTyper
from graphmem.reader.missing import is_exact, open_input, unsettled
from graphmem.reader.names import Names
from graphmem.reader.order import all_bodies, bodies_of, captured, described, ordered, steps_of
from graphmem.reader.origin import origin_of, signature_of, tied_weights
from graphmem.reader.protos import checked, dtype_of, plain_attributes
from graphmem.reader.validity import check_graph_text, check_text
from graphmem.reader.values import Value

# Walks of every body that a file is good for by its own size; more of them draw on the budget.
WALKS = 3


@dataclass(slots=True)
class Walk:
    """The state of one reading: how nodes are typed, where the file lies, and what was missing on the way."""

    typer: NodeTyper
    folder: Path
    symbols: Mapping[str, int]
    trusts_value_info: bool
    issues: list[Issue] = field(default_factory=list)
    trips: Mapping[str, int] = field(default_factory=dict)
    supplied: Mapping[str, Type] = field(default_factory=dict)
    met: set[str] = field(default_factory=set)

    @property
    def budget(self) -> Budget:
        """What the whole reading may take."""
        return self.typer.budget

    def graph(self, proto: onnx.GraphProto, input_types: Mapping[str, Type]) -> Graph:
        """The graph of the model, its inputs having these types, with everything that was missing on the way."""
        for body in all_bodies(proto):
            check_graph_text(body)
            self.budget.steps += WALKS * steps_of(body)
        graph, _ = self.typed(proto, input_types, {}, None)
        return replace(graph, issues=tuple(dict.fromkeys(self.issues)))

    def typed(
        self, proto: onnx.GraphProto, types: Mapping[str, Type], values: Mapping[str, Value], outer: Names | None
    ) -> tuple[Graph, Names]:
        """The graph of `proto`, its inputs having these types and, as far as given, values; and its names."""
        names = Names(outer)
        self._add_initializers(proto, names)
        _check_inputs(proto)
        for info in proto.input:
            if info.name not in names.tensors:
                type_ = self._input_type(info, types)
                names.tensors[info.name] = Tensor(info.name, "input", type_)
                if outer is None and not is_exact(type_):
                    self.issues.append(open_input(info.name, type_))
                if info.name in values:
                    names.values[info.name] = values[info.name]
        stated = self._stated_types(proto)
        nodes = tuple([self._node(node, names, stated) for node in ordered(proto.node, names)])
        for info in proto.output:
            if info.name not in names:
                raise ModelError(f"output '{info.name}' of graph '{proto.name}' is produced by no node")
        graph = Graph(
            name=proto.name,
            nodes=nodes,
            tensors=names.tensors,
            inputs=tuple(n for n, tensor in names.tensors.items() if tensor.role == "input"),
            outputs=tuple(info.name for info in proto.output),
            values={name: value.low for name, value in names.values.items() if value.is_exact},
            opsets=dict(self.typer.opsets),
            signature=signature_of(proto),
            tied=tied_weights(proto) if outer is None else {},
        )
        return graph, names

    def _input_type(self, info: onnx.ValueInfoProto, types: Mapping[str, Type]) -> Type:
        """The type given, or what is supplied or (in a body) stated for what it leaves open."""
        return self._settled(info.name, types[info.name], {info.name: info} if self.trusts_value_info else {})

    def weights_of(self, body: onnx.GraphProto) -> Graph:
        """A body that is not walked, reduced to its initializers: they are in the file all the same."""
        names = Names()
        self._add_initializers(body, names)
        return Graph(body.name, (), names.tensors, (), ())

    def stated_trips(self, node: onnx.NodeProto) -> tuple[int, int] | None:
        """How often the caller says that a loop runs, as its least and greatest number of trips."""
        for name in (node.name, *node.output):
            if name and name in self.trips:
                self.met.add(name)
                count = self.trips[name]
                self.issues.append(Issue("assumption", described(node), f"runs {count} times, as stated"))
                return count, count
        return None

    def _add_initializers(self, proto: onnx.GraphProto, names: Names) -> None:
        for initializer in proto.initializer:
            type_ = initializer_type(initializer)
            if not initializer.name or initializer.name in names.tensors:
                raise ModelError(f"initializer '{initializer.name}' is given twice or has no name")
            names.tensors[initializer.name] = Tensor(initializer.name, "weight", type_)
            value = initializer_value(initializer, type_, self.folder)
            if value is not None:
                names.values[initializer.name] = Value.exactly(value)
        for sparse in proto.sparse_initializer:
            name = sparse.values.name
            dtype = dtype_of(sparse.values.data_type, f"initializer '{name}'")
            if not name or name in names.tensors:
                raise ModelError(f"sparse initializer '{name}' is given twice or has no name")
            names.tensors[name] = Tensor(name, "weight", checked(dtype, tuple(sparse.dims), f"initializer '{name}'"))

    def _stated_types(self, proto: onnx.GraphProto) -> dict[str, onnx.ValueInfoProto]:
        if not self.trusts_value_info:
            return {}
        return {info.name: info for info in (*proto.value_info, *proto.output)}

    def _node(self, proto: onnx.NodeProto, names: Names, stated: Mapping[str, onnx.ValueInfoProto]) -> Node:
        reads, writes = tuple(proto.input), tuple(proto.output)
        name, op_type, domain = proto.name, proto.op_type, proto.domain
        check_text((name, op_type, domain, *reads, *writes))
        bodies_protos, attributes = [], {}
        if proto.attribute:
            check_text(attribute.name for attribute in proto.attribute)
            bodies_protos, attributes = bodies_of(proto), plain_attributes(proto)
        captures = captured(proto) if bodies_protos else ()
        here = names.tensors
        inputs = [here.get(name) or names.tensor(name) if name else None for name in reads]
        bodies: tuple[tuple[str, Graph], ...] = ()
        trips: int | None = 1
        types: Sequence[Type]
        values: Sequence[Value | None]
        if op_type == "Constant" and domain in ("", "ai.onnx"):
            types, values = constant_of(proto)
        elif bodies_protos:
            done = self._control(proto, inputs, names)
            types, values, bodies, trips = done.types, done.values, done.bodies, done.trips
        else:
            types, values = self._infer(proto, reads, inputs, names)
        read = (*inputs, *map(names.tensor, captures)) if captures else inputs
        is_weight = all(tensor is None or tensor.role == "weight" for tensor in read) and self._is_fixed(proto, bodies)
        self._add_outputs(proto, writes, types, values, is_weight, names, stated)
        return Node(
            name=name,
            op_type=op_type,
            domain="" if domain == "ai.onnx" else domain,
            inputs=reads,
            outputs=writes,
            attributes=attributes,
            origin=origin_of(proto),
            bodies=bodies,
            trips=trips,
            captures=captures,
        )

    def _is_fixed(self, proto: onnx.NodeProto, bodies: Sequence[tuple[str, Graph]]) -> bool:
        """True when the node, its bodies included, is known to do the same on every run with the same inputs."""
        graphs = [inner for _, body in bodies_of(proto) for inner in (body, *all_bodies(body))] if bodies else []
        return all(
            is_deterministic(node) and (self.typer.schema(node) is not None or self.typer.has_rule(node))
            for node in (proto, *(inner for graph in graphs for inner in graph.node))
        )

    def _infer(
        self, proto: onnx.NodeProto, reads: Sequence[str], inputs: Sequence[Tensor | None], names: Names
    ) -> tuple[Sequence[Type], Sequence[Value | None]]:
        types = [None if tensor is None else tensor.type for tensor in inputs]
        known, here = names.values, names.tensors
        values = [known.get(name) if name in here else names.value(name) if name else None for name in reads]
        try:
            return self.typer.outputs(proto, types, values)
        except ModelError as error:
            raise ModelError(f"{described(proto)}: {error}") from error

    def check_options(self) -> None:
        """OptionError for a trip count or a type that was stated for a name which the model does not have."""
        for option, names, what in (("--trip-count", self.trips, "loop"), ("--shapes-from", self.supplied, "tensor")):
            for name in names:
                if name not in self.met:
                    raise OptionError(f"{option}: the model has no {what} named '{name}'")

    def _control(self, proto: onnx.NodeProto, inputs: Sequence[Tensor | None], names: Names) -> Outcome:
        types = [None if tensor is None else tensor.type for tensor in inputs]
        values = [names.value(name) if name else None for name in proto.input]
        done = outcome(Held(self, proto, names, types, values))
        if len(done.types) != len(proto.output):
            raise ModelError(f"{described(proto)} has {len(proto.output)} outputs but its bodies {len(done.types)}")
        kept = [value if value is None or self.budget.keep(value.low.nbytes) else None for value in done.values]
        return replace(done, values=kept)

    def _add_outputs(
        self,
        proto: onnx.NodeProto,
        writes: Sequence[str],
        types: Sequence[Type],
        values: Sequence[Value | None],
        is_weight: bool,
        names: Names,
        stated: Mapping[str, onnx.ValueInfoProto],
    ) -> None:
        for name, found, value in zip(writes, types, values, strict=True):
            if not name:
                continue
            type_ = found
            if type(found) is not TensorType or name in stated or name in self.supplied or not found.has_size:
                type_ = self._settled(name, found, stated)
                if not is_exact(type_) or isinstance(found, UnknownType):
                    self._note(proto, name, type_, names)
            names.tensors[name] = Tensor(name, "weight" if is_weight else "activation", type_)
            if value is not None:
                names.values[name] = value

    def _settled(self, name: str, found: Type, stated: Mapping[str, onnx.ValueInfoProto]) -> Type:
        """The inferred type, or where inference leaves something open what the caller supplies or the file states."""
        if name in self.supplied:
            self.met.add(name)
            given = self.supplied[name]
            if isinstance(found, TensorType) and found != given:
                raise OptionError(f"--shapes-from: '{name}' is {found}, which contradicts the {given} given")
            return given
        if name in stated:
            _check_dtype(stated[name], found)
        if isinstance(found, UnknownType) and name in stated:
            return stated_type(stated[name], self.symbols) or found
        return found

    def _note(self, proto: onnx.NodeProto, name: str, type_: Type, names: Names) -> None:
        follows = any(not is_exact(tensor.type) for i in proto.input if i and (tensor := names.tensor(i)) is not None)
        is_foreign = self.typer.schema(proto) is None and not self.typer.has_rule(proto)
        is_given = name in self.supplied
        self.issues.append(unsettled(proto, name, type_, is_given=is_given, is_foreign=is_foreign, follows=follows))


def _check_dtype(info: onnx.ValueInfoProto, found: Type) -> None:
    """ModelError when the file declares another element type than the operator puts out."""
    number = info.type.tensor_type.elem_type
    inferred = getattr(found, "dtype", None)
    if number and inferred and dtype_of(number, f"'{info.name}'") != inferred:
        raise ModelError(
            f"'{info.name}' is declared as {dtype_of(number, info.name)} but computed as {inferred}; export it again"
        )


def _check_inputs(proto: onnx.GraphProto) -> None:
    """ModelError for an input given twice or without a name."""
    seen: set[str] = set()
    for info in proto.input:
        if not info.name or info.name in seen:
            raise ModelError(f"input '{info.name}' of graph '{proto.name}' is given twice or has no name")
        seen.add(info.name)
