"""What a node saves -> where it waits instead: a checkpointed call's frame, to be computed again, or the host.

CheckpointFrame: what torch.utils.checkpoint (use_reentrant=False) keeps of a call, and holds again once it is
recomputed.

    forward     inputs held, random state kept; every tensor that a node saves is packed into a numbered, empty holder
    backward    the first node that unpacks runs the call again, gradients on, up to the last holder (early stop);
                the n-th tensor saved then fills the n-th holder, and stays until its node has used it
    afterwards  when the last node of the call has run, the inputs go

Source: torch/utils/checkpoint.py of torch 2.13 (_CheckpointFrame, _checkpoint_hook, _recomputation_hook).

Host: where torch.autograd.graph.save_on_cpu keeps what nodes save, and the bytes that go there and back.

Source: torch/autograd/graph.py of torch 2.13 (save_on_cpu): `pack` copies to the host, `unpack` makes a new tensor on
the device, which dies with the backward function that asked for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from graphmem.autograd import ops
from graphmem.autograd.machine import Machine, Packer
from graphmem.autograd.tensor import Node, Tensor
from graphmem.autograd.trace import Autocast

RANDOM_STATE = 5056  # bytes of torch.get_rng_state() on the CPU, measured with torch 2.13; a GPU's lie in host memory


class EarlyStop(Exception):  # noqa: N818 (as torch's own: it ends a recomputation, and is no error)
    """Everything that the backward pass needs of the call has been computed again."""


# Backward function -> the name under which a selective policy may keep what the call makes.
KEEPABLE = {
    "MmBackward0": "mm",
    "AddmmBackward0": "addmm",
    "BmmBackward0": "bmm",
    "BaddbmmBackward0": "baddbmm",
    "ConvolutionBackward0": "convolution",
    "ScaledDotProductFlashAttentionForCpuBackward0": "sdpa",
}


@dataclass(eq=False)
class CheckpointFrame:
    """One checkpointed call. Holders are numbered in the order in which tensors are saved.

    `keep` holds names of KEEPABLE, alone or with the number of the call ("addmm", "addmm#2"): a selective policy.
    """

    scope: str
    inputs: list[Tensor]
    again: Callable[[], None] = lambda: None
    precision: str = ""  # of the autocast that the forward ran in
    keep: frozenset[str] = frozenset()
    kept: dict[str, list[Tensor]] = field(default_factory=dict)  # results by name and number of the call
    packed: list[Tensor] = field(default_factory=list)  # the forward's tensors, no handles on them
    nodes: list[Node] = field(default_factory=list)
    filled: dict[int, Tensor] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    is_recomputed: bool = False

    def pack(self, m: Machine, node: Node, saves: Sequence[Tensor], fresh: Sequence[Tensor]) -> None:
        """Number what the node saves instead of holding it."""
        key = _key(node.name, self.seen)
        if self.keeps(key):
            self.kept[key] = [m.hold(t) for t in fresh]
        if saves:
            node.frame, node.holders = self, (len(self.packed), len(saves))
            self.nodes.append(node)
            self.packed.extend(saves)

    def keeps(self, key: str) -> bool:
        """True when the policy keeps the results of this call."""
        return key in self.keep or key.partition("#")[0] in self.keep

    def unpack(self, m: Machine, node: Node) -> list[Tensor]:
        """The tensors that the node saved, with their handles; the first of the frame computes all of them again."""
        if not self.is_recomputed:
            self.is_recomputed = True
            _recompute(m, self)
        first, count = node.holders
        found = [self.filled.pop(number) for number in range(first, first + count)]
        for before, now in zip(self.packed[first : first + count], found, strict=True):
            before.storage = now.storage  # what the backward function remembers of the forward is this memory now
        return found

    def leave(self, m: Machine, node: Node) -> None:
        """The node is gone; after the last one nothing needs the frame."""
        self.nodes.remove(node)
        for number in range(node.holders[0], sum(node.holders)):
            if number in self.filled:  # no gradient arrived, so that nobody unpacked it
                m.release(self.filled.pop(number))
        self.close_if_empty(m)

    def close_if_empty(self, m: Machine) -> None:
        """A frame that no node needs is gone, and with it the handles on its inputs and on what it kept."""
        if not self.nodes:
            for tensor in [*self.inputs, *(t for tensors in self.kept.values() for t in tensors)]:
                m.release(tensor)
            self.inputs.clear()
            self.kept.clear()

    def forget(self, m: Machine, reached: set[int]) -> None:
        """Nodes that the backward pass does not reach died with the forward's tensors."""
        for node in [n for n in self.nodes if id(n) not in reached]:
            self.leave(m, node)


@dataclass(eq=False)
class Recomputation:
    """The second run of a frame's call: fills the holders whose nodes still wait."""

    frame: CheckpointFrame
    count: int = 0
    waiting: set[int] = field(default_factory=set)
    held: list[Tensor] = field(default_factory=list)  # by the graph that this run records, and that nobody keeps
    seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.waiting = {n for w in self.frame.nodes for n in range(w.holders[0], sum(w.holders))}

    def pack(self, m: Machine, node: Node, saves: Sequence[Tensor], fresh: Sequence[Tensor]) -> None:
        """Fill the next holders; stop after the last one, before the operator runs when it saves inputs only."""
        key = _key(node.name, self.seen)
        made = {t.storage.number for t in fresh}
        is_last = bool(saves) and self.count + len(saves) == len(self.frame.packed)
        if is_last and not made & {t.storage.number for t in saves}:
            _take_back(m, made)
        elif self.frame.keeps(key):
            self._recall(m, key, fresh)
        for tensor in saves:
            self.held.append(m.hold(tensor))
            if self.count in self.waiting:
                self.frame.filled[self.count] = m.hold(tensor)
            self.count += 1
        if is_last:
            raise EarlyStop

    def _recall(self, m: Machine, key: str, fresh: Sequence[Tensor]) -> None:
        """What the policy kept takes the place of the results, which are not computed again."""
        _take_back(m, {t.storage.number for t in fresh})
        for tensor, before in zip(fresh, self.frame.kept.pop(key), strict=True):
            tensor.storage = before.storage
            tensor.storage.refs += 1
            m.release(before)


def _key(name: str, seen: Counter[str]) -> str:
    """Name and number of a call that a policy may keep."""
    if name not in KEEPABLE:
        return ""
    seen[name] += 1
    return f"{KEEPABLE[name]}#{seen[name] - 1}"


def _take_back(m: Machine, made: set[int]) -> None:
    if m.tape is not None:
        m.tape.undo()
    for number in sorted(made):
        m.unmake(number)


@contextmanager
def packing(m: Machine, packer: Packer) -> Iterator[None]:
    """Inside, what nodes save goes through the packer."""
    before, m.packer = m.packer, packer
    try:
        yield
    finally:
        m.packer = before


def random_state(m: Machine) -> list[Tensor]:
    """A copy of the state of the random numbers, in the memory of the CPU."""
    if m.device != "cpu":
        return []
    with m.operator("torch::get_rng_state"), m.scope():
        return [m.hold(m.empty((RANDOM_STATE,), "uint8"))]


def _recompute(m: Machine, frame: CheckpointFrame) -> None:
    """Run the call again inside the backward node that asks for it; what no holder took dies at its end."""
    casts: dict[int, Tensor] = {}  # a context of its own, whose cache ends with it
    autocast = Autocast(frame.precision, casts) if frame.precision else None
    depth = len(m.scopes)
    run = Recomputation(frame)
    with m.within(kind="activation", grad_enabled=True, autocast=autocast):
        state = random_state(m)
        try:
            with packing(m, run):
                frame.again()
        except EarlyStop:
            m.unwind(depth)
    for tensor in [*run.held, *casts.values(), *state]:
        m.release(tensor)


@dataclass(eq=False)
class Host:
    """A packer (machine.Packer) that copies saved tensors to the host; all figures in bytes."""

    held: int = 0
    peak: int = 0
    to_host: int = 0
    to_device: int = 0
    packed: dict[int, list[Tensor]] = field(default_factory=dict)  # by node: the forward's tensors, no handles on them

    def pack(self, m: Machine, node: Node, saves: Sequence[Tensor], fresh: Sequence[Tensor]) -> None:
        """Copy what the node saves to the host instead of holding it."""
        del m, fresh
        if not saves:
            return
        node.frame = self
        self.packed[id(node)] = list(saves)
        moved = sum(t.nbytes for t in saves)
        self.held += moved
        self.to_host += moved
        self.peak = max(self.peak, self.held)

    def unpack(self, m: Machine, node: Node) -> list[Tensor]:
        """The copies of the copies, with their handles."""
        found = []
        for before in self.packed[id(node)]:
            with m.scope():
                copy = m.hold(ops.full(m, "aten::to", before.shape, before.dtype))
            before.storage = copy.storage  # what the backward function remembers of the forward is this memory now
            self.to_device += copy.nbytes
            found.append(copy)
        return found

    def leave(self, m: Machine, node: Node) -> None:
        """The node is gone, and with it what it has on the host."""
        del m
        self.held -= sum(t.nbytes for t in self.packed.pop(id(node)))
