"""Draft: the program while it is being raised, and what is known of the file's names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from graphmem.autograd.program import Call, Given, Inference, Ref, Role
from graphmem.ir.graph import Graph, Issue, Node, Origin
from graphmem.ir.types import TensorType

NORM = "batch norm folded into a convolution"
NORM_HINT = "a batch norm may be folded into this convolution; give --assume-bn"
MASK = "attention without a mask, is_causal"
REPEAT = "attention with enable_gqa"
NO_DROPOUT = "dropout with p = 0"
DROPOUT = "dropout removed by an export in evaluation mode"
OPTIONAL = (NORM, MASK, REPEAT, NO_DROPOUT, DROPOUT)  # inferences whose effect is found by leaving them out


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller knows and the file does not say."""

    assume_bn: bool = False
    dropout: float | None = None
    attention_dropout: float | None = None  # of attention weights; as `dropout` when None
    without: str = ""  # a kind of inference that is not acted on, to learn its effect

    def p_after(self, op_type: str) -> float:
        """Probability of a removed dropout that reads the result of such an operator."""
        p = self.attention_dropout if op_type == "Softmax" else None
        return p if p is not None else self.dropout or 0.0


@dataclass(slots=True)
class Draft:
    """The program as it grows."""

    graph: Graph
    options: Options
    held: list[str]
    spelled: dict[str, str]  # weight as torch.export spells it -> its name in the file
    users: dict[str, list[Node]]
    maker: dict[str, Node]
    calls: list[Call] = field(default_factory=list)
    roles: dict[str, Role] = field(default_factory=dict)
    extra: dict[str, Given] = field(default_factory=dict)
    inferred: list[Inference] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    made: set[str] = field(default_factory=set)
    renamed: dict[str, str] = field(default_factory=dict)
    standing: dict[str, str] = field(default_factory=dict)  # removed value -> what the file reads in its place
    static: set[str] = field(default_factory=set)  # values that the shapes and the weights decide, not the data

    @classmethod
    def of(cls, graph: Graph, options: Options) -> Draft:
        """An empty program of this graph."""
        maker = {name: node for node in graph.nodes for name in node.writes}
        held = [n for n, t in graph.tensors.items() if t.role == "weight" and n not in maker]
        users: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in node.reads:
                users.setdefault(name, []).append(node)
        static: set[str] = set()
        for node in graph.nodes:
            settled = all(n in static or (n in graph.tensors and graph.tensors[n].role == "weight") for n in node.reads)
            if settled or node.op_type in ("Shape", "Size"):
                static.update(node.writes)
        spelled = {spelling(name): name for name in held}
        return cls(graph, options, held, spelled, users, maker, static=static)

    def type_of(self, name: str) -> TensorType | None:
        """The exact type of a value of the file."""
        tensor = self.graph.tensors.get(name)
        return tensor.type if tensor is not None and isinstance(tensor.type, TensorType) else None

    def emit(
        self, target: str, args: tuple[Any, ...], outputs: tuple[str, ...], origin: Origin,
        types: tuple[TensorType, ...] | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        """Add a call; its types are those of the file unless told."""
        if types is None:
            types = tuple(t for t in map(self.type_of, outputs) if t is not None)
        self.calls.append(Call(target, args, outputs, types, kwargs, origin))
        self.made.update(outputs)

    def add(self, name: str, role: Role, type_: TensorType) -> Ref:
        """A value that exists before the step and is not in the file under this name."""
        self.extra.setdefault(name, Given(name, role, type_))
        return Ref(name)

    def note(self, what: str, where: str, evidence: str) -> None:
        """An inference that the user is told of."""
        self.inferred.append(Inference(what, where, evidence))

    def infers(self, what: str, where: str, evidence: str) -> bool:
        """Note an inference that can be left out; False when it is to be left out."""
        if what == self.options.without:
            return False
        self.note(what, where, evidence)
        return True

    def batch_norm(self, source: str, output: str, scope: str, origin: Origin, names: list[str] | None = None) -> None:
        """Emit a batch norm in training with parameters and statistics of its own."""
        type_ = self.type_of(output)
        assert type_ is not None
        channels = TensorType(type_.dtype, (type_.shape[1],))
        names = names or [f"{scope}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        roles: tuple[Role, ...] = ("parameter", "parameter", "buffer", "buffer")
        refs: list[Ref | None] = []
        for name, role in zip(names, roles, strict=True):
            if not name:  # without scale and shift, or without running statistics
                refs.append(None)
                continue
            known = self.spelled.get(spelling(name))
            if known is not None:
                self.roles[known] = role
            refs.append(Ref(known) if known else self.add(name, role, channels))
        if names[2]:
            self.add(f"{names[2]}.num_batches_tracked", "buffer", TensorType("int64", ()))
        self.emit("aten.batch_norm", (Ref(source), *refs, True), (output,), origin)


def spelling(name: str) -> str:
    """A weight's name as torch.export spells it behind p_, b_ or c_."""
    return "".join(c if c.isalnum() else "_" for c in name).lower()
