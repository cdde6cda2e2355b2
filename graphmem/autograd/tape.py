"""A machine that runs -> Tape: function by function, memory read and written, and what that costs.

Memory is named by the number of its record in the trace of the machine. A cost is FLOPs for products and bytes moved
for everything else, in one unit, the FLOP. A call that moves memory for longer than it computes counts FLOPS_PER_BYTE
for each byte read or written: the balance of a device, peak FLOP/s over bytes/s (A100 in float32: 19.5e12 / 2.0e12 =
10). A product is two FLOPs a term; its backward is one product of the same size for each operand that needs a
gradient.

    call                     FLOPs forward
    mm, addmm, bmm, mv       2 * result * inner dimension
    convolution              2 * result * weights of one output channel (transposed: 2 * input * those of an input one)
    attention                2 * (scores * width of q + scores * width of v)
    LSTM, GRU, RNN           2 * steps * batch * weights
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Literal, TypeAlias

from graphmem.autograd.machine import Machine
from graphmem.autograd.tensor import Node, Tensor
from graphmem.ir.graph import Origin

FLOPS_PER_BYTE = 10
Inputs = Sequence["Tensor | None"]


def _inner(inputs: Inputs, out: Tensor) -> int:
    """Of the last two operands: a bias may come first."""
    left = [t for t in inputs if t is not None][-2]
    return 2 * out.elements * left.shape[-1]


def _convolution(inputs: Inputs, out: Tensor) -> int:
    x, w = inputs[0], inputs[1]
    assert x is not None
    assert w is not None
    if w.shape[0] == out.shape[1]:
        return 2 * out.elements * prod(w.shape[1:])
    return 2 * x.elements * prod(w.shape[1:])


def _attention(inputs: Inputs, out: Tensor) -> int:
    q, k = inputs[0], inputs[1]
    assert q is not None
    assert k is not None
    return 2 * prod(q.shape[:-1]) * k.shape[-2] * (q.shape[-1] + out.shape[-1])


def _recurrent(inputs: Inputs, out: Tensor) -> int:
    weights = sum(t.elements for t in inputs if t is not None and t.node is None and len(t.shape) == 2)
    return 2 * prod(out.shape[:-1]) * weights


PRODUCTS: dict[str, tuple[Callable[[Inputs, Tensor], int], tuple[int, ...]]] = {
    "MmBackward0": (_inner, (0, 1)),
    "AddmmBackward0": (_inner, (1, 2)),
    "BmmBackward0": (_inner, (0, 1)),
    "BaddbmmBackward0": (_inner, (1, 2)),
    "MvBackward0": (_inner, (0, 1)),
    "DotBackward0": (_inner, (0, 1)),
    "ConvolutionBackward0": (_convolution, (0, 1)),
    "ScaledDotProductFlashAttentionForCpuBackward0": (_attention, (0, 1, 2)),
    "MkldnnRnnLayerBackward0": (_recurrent, (0, 1)),
    "CudnnRnnBackward0": (_recurrent, (0, 1)),
}
GATHERS = ("EmbeddingBackward0", "IndexBackward0", "IndexSelectBackward0", "GatherBackward0")  # read what they write
VIEWS = (
    "ViewBackward0", "UnsafeViewBackward0", "AliasBackward0", "PermuteBackward0", "ExpandBackward0", "SliceBackward0",
    "SelectBackward0", "SqueezeBackward1", "UnsqueezeBackward0", "UnbindBackward0", "SplitBackward0",
    "UnsafeSplitBackward0", "SplitWithSizesBackward0", "UnfoldBackward0",
)  # fmt: skip


def forward_cost(name: str, inputs: Inputs, outputs: Sequence[Tensor]) -> int:
    """Of the forward call that records the backward function `name`."""
    given = [t for t in inputs if t is not None]
    taken = {id(t.storage) for t in given}
    if name in VIEWS or (not outputs):
        return 0
    fresh = sum(t.nbytes for t in outputs if id(t.storage) not in taken)
    moved = 2 * fresh if name in GATHERS else fresh + sum(t.nbytes for t in given)
    if not fresh:  # in place: written where it was read
        moved += outputs[0].nbytes
    if name in PRODUCTS:
        return max(PRODUCTS[name][0](inputs, outputs[0]), FLOPS_PER_BYTE * moved)
    return FLOPS_PER_BYTE * moved


def backward_cost(node: Node, forward_flops: int, moved: int) -> int:
    """Of the backward function: products again where the forward was one, else `moved` bytes of what it touches."""
    if node.name in VIEWS:
        return 0
    if node.name in PRODUCTS:
        operands = sum(node.needs(i) for i in PRODUCTS[node.name][1] if i < len(node.edges))
        return max(forward_flops * operands, FLOPS_PER_BYTE * moved)
    return FLOPS_PER_BYTE * moved


Kind: TypeAlias = Literal["forward", "again", "backward"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One function. `writes` are the allocations made for it, of which `outputs` are its results, the rest beside.

    `position` is the program's call that it belongs to; `reads` of a backward function are what it had saved.
    """

    kind: Kind
    name: str
    label: str
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    outputs: tuple[int, ...]
    cost: int
    origin: Origin
    position: int
    is_random: bool = False
    is_in_place: bool = False


@dataclass
class Tape:
    """Takes notes while a machine runs; `node_costs` are costs of forward calls by the id of their backward nodes."""

    entries: list[Entry] = field(default_factory=list)
    seen: int = 0  # allocations that some entry accounts for
    position: int = -1
    node_costs: dict[int, int] = field(default_factory=dict)
    node_positions: dict[int, int] = field(default_factory=dict)
    last_cost: int = 0

    def call(self, m: Machine) -> None:
        """The next call of the program begins."""
        self.leftover(m, ())
        self.position += 1

    def leftover(self, m: Machine, reads: Iterable[Tensor]) -> None:
        """What a call has allocated without any function being recorded."""
        if len(m.records) > self.seen:
            nbytes = sum(m.records[n].nbytes for n in range(self.seen, len(m.records)))
            self._note(m, "leftover", _numbers(reads), (), FLOPS_PER_BYTE * nbytes)

    def function(self, m: Machine, name: str, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> None:
        """A differentiable function has run."""
        self.last_cost = forward_cost(name, inputs, outputs)
        taken = {t.storage.number for t in inputs if t is not None}
        fresh = [t for t in outputs if t.storage.number not in taken]
        in_place = not fresh and self.last_cost > 0
        self._note(m, name, _numbers(t for t in inputs if t is not None), _numbers(fresh), self.last_cost, in_place)

    def _note(
        self, m: Machine, name: str, reads: tuple[int, ...], outputs: tuple[int, ...], cost: int, over: bool = False
    ) -> None:
        at = m.context
        kind: Kind = "forward" if at.phase == "forward" else "again" if m.packer is not None else "backward"
        writes = tuple(range(self.seen, len(m.records)))
        self.seen = len(m.records)
        is_random = (m.device == "cuda" and "Dropout" in name) or any(_is_random(m, n) for n in writes)
        self.entries.append(
            Entry(kind, name, at.label, reads, writes, outputs, cost, at.origin, self.position, is_random, over)
        )

    def recorded(self, node: Node) -> None:
        """The function that has just run will be followed backward by this node."""
        self.node_costs[id(node)], self.node_positions[id(node)] = self.last_cost, self.position

    def undo(self) -> None:
        """The function was stopped before it ran."""
        self.entries.pop()

    def enter(self, m: Machine, grads: Sequence[Tensor | None]) -> tuple[int, int]:
        """A backward node begins: where it does, and the bytes that arrive."""
        self.leftover(m, ())
        return len(m.records), sum(t.nbytes for t in grads if t is not None)

    def leave(self, m: Machine, node: Node, saved: Sequence[Tensor], entered: tuple[int, int]) -> None:
        """The node is done, with what it made, its sums of broadcast gradients included."""
        start, arrived = entered
        mine = [n for n in range(start, len(m.records)) if n not in self._again(start)]
        moved = arrived + sum(t.nbytes for t in saved) + sum(m.records[n].nbytes for n in mine)
        cost = backward_cost(node, self.node_costs.get(id(node), 0), moved)
        self.seen = len(m.records)
        place, origin = self.node_positions.get(id(node), self.position), m.context.origin
        self.entries.append(Entry("backward", node.name, "", _numbers(saved), tuple(mine), (), cost, origin, place))

    def _again(self, start: int) -> set[int]:
        found: set[int] = set()
        for entry in reversed(self.entries):
            if entry.kind != "again" or (entry.writes and entry.writes[-1] < start):
                break
            found.update(entry.writes)
        return found

    def total(self, *kinds: Kind) -> int:
        """The cost of all entries of these kinds."""
        return sum(entry.cost for entry in self.entries if entry.kind in kinds)


def _numbers(tensors: Iterable[Tensor]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(t.storage.number for t in tensors))


def _is_random(m: Machine, number: int) -> bool:
    return m.steps[m.records[number].start].operator in ("aten::bernoulli_", "aten::dropout", "aten::native_dropout")
