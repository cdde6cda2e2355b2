"""Graph: what a model file says once every tensor has a type; tensors are named, never pointed to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graphmem.ir.errors import BrokenInvariantError
from graphmem.ir.types import Type

Role: TypeAlias = Literal["input", "weight", "activation"]

# What an issue does to the figures: a note leaves them exact, a bound makes them "at most", a gap "at least".
Effect: TypeAlias = Literal["exact", "at most", "at least"]

ISSUE_KINDS: dict[str, Effect] = {
    "batch": "exact",  # a dimension that --batch bound
    "free-dimension": "exact",  # a dimension that nobody bound, taken as 1
    "assumption": "exact",  # anything else taken as given, stated with its value
    "branch": "exact",  # which branch of an If runs, where it is known, and why
    "contradiction": "exact",  # the file says another thing of a tensor than is computed; what is used and why
    "outside": "exact",  # a value that is no tensor, a dictionary, say; every figure is of tensors
    "packed": "exact",  # quantized weights, counted as they are kept; what a runtime that unpacks them would add
    "runtime": "exact",  # a size that runtimes compute otherwise than ONNX says; theirs is counted
    "unknown-rule": "at most",  # an operation that training has no rule for, counted with all that it could save
    "data-dependent": "at most",  # a shape that the data decides, with a proved upper bound
    "unknown-operator": "at least",
    "unknown-shape": "at least",
    "unknown-workspace": "at least",  # of a runtime's or library's kernel; its tensors are counted
    "unknown-payload": "at least",  # strings, whose bytes no type tells
}


@dataclass(frozen=True, slots=True)
class Issue:
    """One missing or assumed fact. `kind` is a key of ISSUE_KINDS; consequences of another issue are not roots."""

    kind: str
    where: str
    what: str
    is_root: bool = True

    def __post_init__(self) -> None:
        if self.kind not in ISSUE_KINDS:
            raise BrokenInvariantError(f"no issue is of kind '{self.kind}'")

    @property
    def effect(self) -> Effect:
        """What the issue does to the figures."""
        return ISSUE_KINDS[self.kind]


Exactness: TypeAlias = Literal["exact", "at most", "at least", "between"]  # of a figure, all in all


def exactness_of(issues: Iterable[Issue]) -> Effect:
    """How to read figures that have these issues: exact, at most (a proved bound), or at least (something missing)."""
    effects = {issue.effect for issue in issues}
    return "at least" if "at least" in effects else "at most" if "at most" in effects else "exact"


class Frame(NamedTuple):
    """One running function of the source program: where it is, its name, and the text of the line that runs."""

    file: str
    line: int
    function: str
    text: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a node comes from in the source program, as far as the exporter wrote it; "" where it did not."""

    scope: str = ""  # module path, such as "encoder.layer.0.attention"
    module: str = ""  # class of that module
    source: str = ""  # "file.py:line" of the innermost user frame
    call: str = ""  # the ATen call that the node belongs to, as torch.fx prints it
    rewrites: str = ""  # rules of the exporter's optimizer that made the node
    path: tuple[str, ...] = ()  # the modules whose calls are running, outermost first, without the model itself
    frames: tuple[Frame, ...] = ()  # the functions that are running, outermost first


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named value. A weight's bytes are fixed before the run; an input's belong to the caller."""

    name: str
    role: Role
    type: Type


@dataclass(frozen=True, slots=True)
class Node:
    """One operator call. "" in `inputs` or `outputs` is an omitted optional one.

    `captures` are the names of outer scopes that the bodies of a control-flow node read; `trips` is how often a loop
    runs its body, None where that is not known. Several versions of one body, walked with different types, are labelled
    "body", "body#1", ...: their weights are the same and count once.
    Tensor-valued attributes are not in `attributes`; a Constant's small value is in `Graph.values`.
    """

    name: str
    op_type: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin = Origin()
    bodies: tuple[tuple[str, Graph], ...] = ()
    captures: tuple[str, ...] = ()
    trips: int | None = 1

    @property
    def standard_type(self) -> str:
        """The operator as tables know it: "" for one of another domain, which may share the name of ONNX's own."""
        return "" if self.domain else self.op_type

    @property
    def reads(self) -> tuple[str, ...]:
        """Names that the node reads, those of its bodies included, in order, each once."""
        return tuple(dict.fromkeys(name for name in (*self.inputs, *self.captures) if name))

    @property
    def writes(self) -> tuple[str, ...]:
        """Names that the node writes."""
        return tuple(name for name in self.outputs if name)


@dataclass(frozen=True, slots=True)
class Graph:
    """A model, or the body of a control-flow node, in an order in which every read follows its write.

    `values` holds the small constants and the integers known before the run, by tensor name.
    """

    name: str
    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    opsets: Mapping[str, int] = field(default_factory=dict)
    issues: tuple[Issue, ...] = ()
    tied: Mapping[str, str] = field(default_factory=dict)  # weight -> the weight that it is the transpose of
    signature: Mapping[str, str] = field(default_factory=dict)  # of the exported program: name -> parameter or buffer

    @property
    def with_bodies(self) -> Iterator[Graph]:
        """The graph itself and the bodies in it at any depth, one version of each."""
        yield self
        for node in self.nodes:
            for label, body in node.bodies:
                if "#" not in label:
                    yield from body.with_bodies

    def is_weight(self, node: Node) -> bool:
        """True when the node's outputs are fixed before the run, so that no step is spent on it."""
        return all(self.tensors[name].role == "weight" for name in node.writes)

    @property
    def unpacked(self) -> frozenset[str]:
        """Weights that are others dequantized, or computed from such: a runtime that keeps those packed has none.

        onnxruntime folds no DequantizeLinear (constant_folding.cc skips it): it becomes part of a quantized kernel.
        """
        found: set[str] = set()
        for node in self.nodes:
            if (node.op_type == "DequantizeLinear" or found.intersection(node.inputs)) and self.is_weight(node):
                found.update(node.writes)
        return frozenset(found)

    @property
    def steps(self) -> tuple[Node, ...]:
        """The nodes that a run executes, in file order: step i is the i-th of them."""
        return tuple(node for node in self.nodes if not self.is_weight(node))
