"""GraphProto -> Graph: one walk over the nodes that types every tensor and finds out what is fixed before the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx

from graphmem.ir.budget import Budget
from graphmem.ir.errors import ModelError
from graphmem.ir.graph import Graph, Issue, Node, Tensor
from graphmem.ir.types import BoundedType, SequenceType, TensorType, Type, UnknownType
from graphmem.reader.constants import constant_of, initializer_type, initializer_value
from graphmem.reader.control import outcome
from graphmem.reader.declared import TARGETS, baked_in, baked_unseen, check_dtype, contradiction, stale
from graphmem.reader.dims import stated_type
from graphmem.reader.evaluate import is_deterministic
from graphmem.reader.held import Held, Outcome, UnfitError
from graphmem.reader.infer import NodeTyper
from graphmem.reader.missing import holds_maps, is_exact, is_within, open_input, packed_notes, unsettled
from graphmem.reader.names import Names
from graphmem.reader.order import all_bodies, bodies_of, captured, described, ordered, steps_of
from graphmem.reader.origin import origin_of, signature_of, tied_weights
from graphmem.reader.protos import checked, dtype_of, plain_attributes
from graphmem.reader.stated import Stated, branch_note, trips_note
from graphmem.reader.validity import check_graph_text, check_inputs, check_text
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
    stated: Stated = field(default_factory=Stated)
    inputs: Mapping[str, onnx.ValueInfoProto] = field(default_factory=dict)  # of the model
    contradicted: set[str] = field(default_factory=set)

    @property
    def budget(self) -> Budget:
        """What the whole reading may take."""
        return self.typer.budget

    def graph(self, proto: onnx.GraphProto, input_types: Mapping[str, Type]) -> Graph:
        """The graph of the model, its inputs having these types, with everything that was missing on the way."""
        for body in all_bodies(proto):
            check_graph_text(body)
            self.budget.steps += WALKS * steps_of(body)
        graph, _ = self.typed(proto, input_types, self._given_values(input_types), None)
        self.issues += packed_notes(graph)
        return replace(graph, issues=tuple(dict.fromkeys(self.issues)))

    def typed(
        self, proto: onnx.GraphProto, types: Mapping[str, Type], values: Mapping[str, Value], outer: Names | None
    ) -> tuple[Graph, Names]:
        """The graph of `proto`, its inputs having these types and, as far as given, values; and its names."""
        names = Names(outer)
        self._add_initializers(proto, names)
        check_inputs(proto)
        for info in proto.input:
            if info.name not in names.tensors:
                type_ = self._input_type(info, types)
                names.tensors[info.name] = Tensor(info.name, "input", type_)
                if outer is None and (not is_exact(type_) or holds_maps(type_)):
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
        count = self.stated.trips_of(node)
        if count is None:
            return None
        self.issues.append(trips_note(node, count))
        return count, count

    def stated_branch(self, node: onnx.NodeProto) -> str | None:
        """Which branch of an If the caller says runs."""
        taken = self.stated.branch_of(node)
        if taken is not None:
            self.issues.append(branch_note(node, taken))
        return taken

    def _given_values(self, types: Mapping[str, Type]) -> dict[str, Value]:
        """The values that the caller gives of inputs."""
        found = {name: self.stated.value_of(name, type_) for name, type_ in types.items()}
        self.issues += [given[1] for given in found.values() if given is not None]
        return {name: given[0] for name, given in found.items() if given is not None}

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
        """Types and values of the outputs; what runtimes do otherwise than the specification is noted."""
        types = [None if tensor is None else tensor.type for tensor in inputs]
        known, here = names.values, names.tensors
        values = [known.get(name) if name in here else names.value(name) if name else None for name in reads]
        try:
            found = self.typer.of(proto).outputs(proto, types, values)
        except ModelError as error:
            baked = baked_in(proto, names, self.inputs, self.symbols)
            raise UnfitError(f"{described(proto)}: {error}{f'; {baked}' if baked else ''}") from error
        self.issues += [Issue("runtime", described(proto), note) for note in found.notes]
        if proto.op_type in TARGETS and (baked := baked_unseen(proto, names, self.inputs, self.symbols)):
            self.issues.append(Issue("contradiction", described(proto), baked))
        return found.types, found.values

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
            names.makers[name] = proto
            if type(found) is not TensorType or name in stated or name in self.stated.types or not found.has_size:
                type_ = self._settled(name, found, stated, names)
                if not is_exact(type_) or not isinstance(found, TensorType | SequenceType) or holds_maps(type_):
                    self._note(proto, name, type_, names, stated.get(name))
            names.tensors[name] = Tensor(name, "weight" if is_weight else "activation", type_)
            if value is not None:
                names.values[name] = value

    def _settled(
        self, name: str, found: Type, stated: Mapping[str, onnx.ValueInfoProto], names: Names | None = None
    ) -> Type:
        """The inferred type, or where inference leaves something open what the caller supplies or the file states."""
        given = self.stated.type_of(name, found)
        if given is not None or name not in stated:
            return found if given is None else given
        info = stated[name]
        check_dtype(info, found)
        if isinstance(found, TensorType) and names is not None:
            self._compare(info, found, names)
        if isinstance(found, BoundedType) and names is not None and self._is_part(name, names):
            return self._declared_part(info, found, names)
        if not isinstance(found, UnknownType):
            return found
        if names is not None and stale(info, names, self.inputs, self.symbols):
            return found
        return stated_type(info, self.symbols) or found

    def _is_part(self, name: str, names: Names) -> bool:
        """True for an element of a sequence whose sizes the file does not hold, though no data decides them."""
        maker = names.maker(name)
        sequence = names.tensor(maker.input[0]) if maker is not None and maker.op_type == "SequenceAt" else None
        return sequence is not None and isinstance(sequence.type, SequenceType) and sequence.type.whole is not None

    def _declared_part(self, info: onnx.ValueInfoProto, found: BoundedType, names: Names) -> Type:
        """What the file declares of such an element, where it agrees with the whole."""
        declared = stated_type(info, self.symbols)
        if not isinstance(declared, TensorType) or stale(info, names, self.inputs, self.symbols):
            return found
        fits = len(declared.shape) == len(found.high) and declared.dtype == found.dtype
        return declared if fits and all(map(is_within, found.low, declared.shape, found.high)) else found

    def _compare(self, info: onnx.ValueInfoProto, found: TensorType, names: Names) -> None:
        """Note a declared shape that is not the computed one; what follows from such a one is no root."""
        what = contradiction(info, found, self.symbols)
        if what is None:
            return
        maker = names.maker(info.name)
        follows = maker is not None and any(name in self.contradicted for name in maker.input)
        self.contradicted.add(info.name)
        where = described(maker) if maker is not None else f"'{info.name}'"
        self.issues.append(Issue("contradiction", where, what, not follows))

    def _note(
        self, proto: onnx.NodeProto, name: str, type_: Type, names: Names, info: onnx.ValueInfoProto | None
    ) -> None:
        follows = any(not is_exact(tensor.type) for i in proto.input if i and (tensor := names.tensor(i)) is not None)
        typer = self.typer.of(proto)
        is_foreign = typer.schema(proto) is None and not typer.has_rule(proto)
        is_given = name in self.stated.types
        issue = unsettled(proto, name, type_, is_given=is_given, is_foreign=is_foreign, follows=follows)
        if isinstance(type_, UnknownType) and info is not None:
            why = stale(info, names, self.inputs, self.symbols)
            issue = replace(issue, what=f"{issue.what}; {why}") if why else issue
        self.issues.append(issue)
