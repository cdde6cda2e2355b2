"""Draft: the program while it is being raised, and what is known of the file's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphmem.ir.errors import MisfitError
from graphmem.ir.graph import Graph, Issue, Node, Origin
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import NO_ORIGIN, Call, Conclusion, Given, Ref, Role
from graphmem.ir.types import BoundedType, TensorType

NORM = "batch norm folded into a convolution"
NORM_HINT = "a batch norm may be folded into this convolution; give --assume-bn"
MASK = "attention without a mask, is_causal"
REPEAT = "attention with enable_gqa"
NO_DROPOUT = "dropout with p = 0"
DROPOUT = "dropout removed by an export in evaluation mode"
OPTIONAL = (NORM, MASK, REPEAT, NO_DROPOUT, DROPOUT)  # inferences whose effect is found by leaving them out


@dataclass(slots=True)
class Draft:
    """The program as it grows."""

    graph: Graph
    options: TrainingOptions  # what the caller knows and the file does not say
    without: str  # a kind of inference that is not acted on, to learn its effect
    held: list[str]
    spelled: dict[str, str]  # weight as torch.export spells it -> its name in the file
    users: dict[str, list[Node]]
    maker: dict[str, Node]
    calls: list[Call] = field(default_factory=list)
    roles: dict[str, Role] = field(default_factory=dict)
    extra: dict[str, Given] = field(default_factory=dict)
    inferred: list[Conclusion] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    made: set[str] = field(default_factory=set)
    renamed: dict[str, str] = field(default_factory=dict)
    standing: dict[str, str] = field(default_factory=dict)  # removed value -> what the file reads in its place
    origin: Origin = NO_ORIGIN  # of the call that is being raised
    computed: set[str] = field(default_factory=set)  # constants that eager code computes in every step
    folded: list[str] = field(default_factory=list)  # constants that were computed from parameters
    missing: list[str] | None = None  # parameters that the file has lost, once they have been looked for
    static: set[str] = field(default_factory=set)  # values that the shapes and the constants decide, not the data
    derived: set[str] = field(default_factory=set)  # values computed from parameters alone, with a gradient

    @classmethod
    def of(cls, graph: Graph, options: TrainingOptions, without: str) -> Draft:
        """An empty program of this graph."""
        maker = {name: node for node in graph.nodes for name in node.writes}
        filled = _filled_weights(graph, maker)
        held = [n for n, t in graph.tensors.items() if t.role == "weight" and (n not in maker or n in filled)]
        users: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in node.reads:
                users.setdefault(name, []).append(node)
        static, derived = _settled(graph, held, users)
        spelled = {spelling(name): name for name in held}
        return cls(graph, options, without, held, spelled, users, maker, static=static, derived=derived)

    def p_after(self, op_type: str) -> float:
        """Probability of a removed dropout that reads the result of such an operator."""
        p = self.options.attention_dropout if op_type == "Softmax" else None
        return p if p is not None else self.options.dropout or 0.0

    def type_of(self, name: str) -> TensorType | None:
        """The type of a value of the file; its largest where the data decides, which the graph's issues state."""
        tensor = self.graph.tensors.get(name)
        if tensor is not None and isinstance(tensor.type, BoundedType):
            return TensorType(tensor.type.dtype, tensor.type.high)
        return tensor.type if tensor is not None and isinstance(tensor.type, TensorType) else None

    def maker_of(self, name: str) -> Call | None:
        """The call that makes a value, when it has been raised."""
        return next((call for call in reversed(self.calls) if name in call.outputs), None)

    def emit(
        self, target: str, args: tuple[Any, ...], outputs: tuple[str, ...], origin: Origin,
        types: tuple[TensorType, ...] | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        """Add a call; its types are those of the file unless told."""
        if types is None:
            types = tuple(t for t in map(self.type_of, outputs) if t is not None)
        self.calls.append(Call(target, args, outputs, types, kwargs, origin))
        self.made.update(outputs)

    def take_back(self, count: int) -> None:
        """Leave the first `count` calls alone."""
        for call in self.calls[count:]:
            self.made.difference_update(call.outputs)
        del self.calls[count:]

    def emit_after(
        self, source: str, target: str, args: tuple[Any, ...], output: str, type_: TensorType | None
    ) -> None:
        """Add a call right after the one that makes `source`, as part of the statement that made it."""
        at = next((i for i in range(len(self.calls) - 1, -1, -1) if source in self.calls[i].outputs), -1)
        origin = self.calls[at].origin if at >= 0 else self.origin
        call = Call(target, args, (output,), (type_,) if type_ else (), {}, origin)
        self.calls.insert(at + 1 if at >= 0 else len(self.calls), call)
        self.made.add(output)

    def add(self, name: str, role: Role, type_: TensorType) -> Ref:
        """A value that exists before the step and is not in the file under this name."""
        self.extra.setdefault(name, Given(name, role, type_))
        return Ref(name)

    def note(self, what: str, where: str, evidence: str) -> None:
        """An inference that the user is told of."""
        self.inferred.append(Conclusion(what, where, evidence))

    def infers(self, what: str, where: str, evidence: str) -> bool:
        """Note an inference that can be left out; False when it is to be left out."""
        if what == self.without:
            return False
        self.note(what, where, evidence)
        return True

    def batch_norm(self, source: str, output: str, scope: str, origin: Origin, names: Sequence[str | Ref] = ()) -> None:
        """Emit a batch norm in training with parameters and statistics of its own, or with values that are computed."""
        type_ = self.type_of(output)
        if type_ is None or len(type_.shape) < 2:
            raise MisfitError("the file does not state the channels of a batch norm")
        channels = TensorType(type_.dtype, (type_.shape[1],))
        names = names or [f"{scope}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        roles: tuple[Role, ...] = ("parameter", "parameter", "buffer", "buffer")
        refs: list[Ref | None] = []
        for name, role in zip(names, roles, strict=True):
            if isinstance(name, Ref):
                refs.append(name)
                continue
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


_BUFFERS = frozenset(
    (
        "running_mean", "running_var", "num_batches_tracked", "position_ids", "token_type_ids", "pe", "mask",
        "attn_mask",
        "causal_mask", "masked_bias", "inv_freq", "freqs", "freqs_cis", "cos", "sin", "cos_cached", "sin_cached",
        "relative_position_index", "anchors",
    )
)  # fmt: skip
_COMPARES = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "And", "Or")
_AS_THEY_ARE = ("Transpose", "Identity")  # of a weight, which its reader looks through


def is_buffer(draft: Draft, name: str) -> bool:
    """True for a weight that carries a buffer's usual name or is only compared, as stored masks are."""
    return _is_buffer(name, draft.users)


def _is_buffer(name: str, users: Mapping[str, list[Node]]) -> bool:
    if name.rpartition(".")[2] in _BUFFERS:
        return True
    front = users.get(name, [])
    while front and all(node.standard_type in ("Slice", "Unsqueeze", "Reshape") for node in front):
        front = [user for node in front for user in users.get(node.outputs[0], [])]
    return bool(front) and all(node.standard_type in _COMPARES for node in front)


def _settled(graph: Graph, held: list[str], users: Mapping[str, list[Node]]) -> tuple[set[str], set[str]]:
    """What shapes and constants decide, and what nodes without exporter's text compute from parameters alone.

    The latter is part of every step in eager code, and has a gradient.
    """
    has_text = any(node.origin.call for node in graph.nodes)
    packed = _packed(graph)
    trained = {n for n in held if is_named(n) and not _is_buffer(n, users) and _is_float(graph, n)}
    static: set[str] = set()
    derived: set[str] = set()
    for node in graph.nodes:
        if node.standard_type in ("Shape", "Size"):
            static.update(node.writes)
        elif node.standard_type in _LAYERS and any(n in trained for n in node.reads):
            continue  # a layer on constants, such as states of zeros, runs in every step, and has a gradient
        elif not node.domain and all(n in static or n in derived or _is_weight(graph, n) for n in node.reads):
            looked_through = node.standard_type in _AS_THEY_ARE and node.inputs[0] in trained
            reads_parameters = any(n in trained or n in derived for n in node.reads)
            is_part = reads_parameters and not looked_through and not has_text and packed.isdisjoint(node.writes)
            is_float = any(_is_float(graph, n) for n in node.writes)
            (derived if is_part and is_float else static).update(node.writes)
    return static, derived


def _is_weight(graph: Graph, name: str) -> bool:
    return name in graph.tensors and graph.tensors[name].role == "weight"


_LAYERS = {
    "Conv": (1, 2), "ConvTranspose": (1, 2), "Gemm": (1, 2), "MatMul": (1,), "BatchNormalization": (1, 2, 3, 4),
    "LayerNormalization": (1, 2), "PRelu": (1,), "LSTM": (1, 2, 3), "GRU": (1, 2, 3), "RNN": (1, 2, 3),
}  # fmt: skip


def _filled_weights(graph: Graph, maker: Mapping[str, Node]) -> set[str]:
    """Weights of layers that nodes hold: Constant, or ConstantOfShape in files that were made light."""
    read = {n.inputs[i] for n in graph.nodes for i in _LAYERS.get(n.standard_type, ()) if i < len(n.inputs)}
    made = {name for name in read & maker.keys() if maker[name].standard_type in ("Constant", "ConstantOfShape")}
    return {name for name in made if _is_float(graph, name) and graph.tensors[name].role == "weight"}


def _packed(graph: Graph) -> set[str]:
    """The matrices that ONNX's recurrent operators take, and what they are put together from."""
    maker = {name: node for node in graph.nodes for name in node.writes}
    layers = [node for node in graph.nodes if node.standard_type in ("LSTM", "GRU", "RNN")]
    pending = [name for node in layers for name in node.inputs[1:4]]
    found: set[str] = set()
    while pending:
        name = pending.pop()
        if name and name not in found:
            found.add(name)
            pending += maker[name].reads if name in maker else ()
    return found


def is_named(name: str) -> bool:
    """True for an initializer with a name of its own; exporters number the constants that they make."""
    return not name.startswith(("onnx::", "/", "val_", "_val_")) and not name.isdigit()


def _is_float(graph: Graph, name: str) -> bool:
    tensor = graph.tensors.get(name)
    return tensor is not None and isinstance(tensor.type, TensorType) and "float" in tensor.type.dtype


def spelling(name: str) -> str:
    """A weight's name as torch.export spells it behind p_, b_ or c_."""
    return "".join(c if c.isalnum() else "_" for c in name).lower()


Matcher = Callable[[Draft, Node], "list[Node] | None"]


def only_user(draft: Draft, node: Node, *op_types: str) -> Node | None:
    """The one node that reads the first output, when it is of these operators and the value is not an output."""
    users = draft.users.get(node.outputs[0], [])
    if len(users) != 1 or node.outputs[0] in draft.graph.outputs:
        return None
    return users[0] if not op_types or users[0].standard_type in op_types else None


def other_input(node: Node, name: str) -> str:
    """The other input of a binary node."""
    return node.inputs[1] if node.inputs[0] == name else node.inputs[0]
