"""Program -> its units, and what each does to the memory of a rank: fully_shard's gathers and reduce-scatters.

A rank stores 1/W of every parameter, padded, and of its gradient and optimizer state. A unit's parameters are gathered
before it runs, dropped after it (not the root's, nor any in zero2) and gathered again before its backward, where the
gather of the unit before is begun early. Its gradients are then reduced and scattered; the flat input of that is kept
until the next unit has its turn.

    forward of unit i    gather i . copy out . drop the flat output of unit i-1's gather . run . drop parameters
    backward of unit i   wait: copy out, drop the flat output . begin to gather unit i-1 . run . drop parameters .
                         drop the last flat input . flat input . drop gradients . flat output: the sharded gradients

Source: _fsdp_param_group.py, _fsdp_state.py, _fsdp_collectives.py of torch/distributed/fsdp/_fully_shard, torch 2.13.
On the CPU gloo copies the output of an all-gather and the input of a reduce-scatter once more; NCCL does not.

A unit, the module that fully_shard is put on, is a member of a numbered container (`blocks.0` of `blocks`), the
outermost one that a parameter's name shows; what is in none belongs to the root. This is what PyTorch's documentation
does: fully_shard on every block, then on the model.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field

from graphmem.autograd.machine import Machine
from graphmem.autograd.tensor import Tensor, itemsize
from graphmem.ir.program import Call, Program
from graphmem.schedule.parallel.process import (
    flat,
    resize,
)
from graphmem.schedule.parallel.replicated import padded_elements


@dataclass
class Group:
    """The parameters of a unit on one rank: `full` come and go, `shards` stay."""

    unit: Unit
    full: list[Tensor]
    shards: list[Tensor]
    is_gathered: bool = False
    is_reduced: bool = False
    pending: Tensor | None = None  # flat output of a gather that nobody has waited for


@dataclass
class Sharding:
    """fully_shard at work on one machine."""

    m: Machine
    ranks: int
    reshards: bool
    groups: dict[str, Group]
    order: list[Group] = field(default_factory=list)  # of the forward passes that have ended
    deferred: Tensor | None = None
    scattering: Tensor | None = None
    gathers: list[int] = field(default_factory=list)
    scatters: list[int] = field(default_factory=list)

    def gather(self, group: Group) -> None:
        """Begin to gather, unless it is done or begun."""
        if group.is_gathered or group.pending is not None or self.ranks == 1:
            return
        nbytes = sum(padded_elements(p.shape, self.ranks) * itemsize(p.dtype) for p in group.full) * self.ranks
        group.pending = flat(self.m, nbytes, "aten::empty", "all-gather output")
        self._staged(nbytes, "aten::empty")
        self.gathers.append(nbytes)

    def _staged(self, nbytes: int, operator: str) -> None:
        if self.m.device == "cpu":
            self.m.release(flat(self.m, nbytes, operator, "gloo's copy"))

    def wait(self, group: Group, is_forward: bool) -> None:
        """Copy the gathered parameters out."""
        if group.is_gathered:
            return
        before = self.deferred if is_forward else None
        m = self.m
        for p in group.full:
            with m.within(kind="parameter", label=p.name):
                resize(m, p.storage, padded_elements(p.shape, self.ranks) * self.ranks, p.dtype)
        if before is not None:
            m.release(before)
            self.deferred = None
        if group.pending is not None and is_forward:
            self.deferred = group.pending
        elif group.pending is not None:
            m.release(group.pending)
        group.pending, group.is_gathered = None, True

    def drop(self, group: Group) -> None:
        """Free the gathered parameters; whoever saved them holds empty storages."""
        if group.is_gathered:
            for p in group.full:
                resize(self.m, p.storage, 0, p.dtype)
        group.is_gathered = False

    def before_forward(self, group: Group) -> None:
        """Gather and wait."""
        self.gather(group)
        self.wait(group, is_forward=True)

    def after_forward(self, group: Group) -> None:
        """Reshard, except the root and in zero2."""
        if self.reshards and group.unit.name != ROOT:
            self.drop(group)
        self.order.append(group)

    def end_forward(self) -> None:
        """The last flat output goes with the root's forward."""
        if self.deferred is not None:
            self.m.release(self.deferred)
        self.deferred = None

    def before_backward(self, group: Group, index: int) -> None:
        """Gather again and begin with the unit that ran before."""
        self.gather(group)
        self.wait(group, is_forward=False)
        if index:
            self.gather(self.order[index - 1])

    def after_backward(self, group: Group) -> None:
        """Reshard, then reduce and scatter the gradients."""
        m = self.m
        ready = [(p, shard) for p, shard in zip(group.full, group.shards, strict=True) if p.grad is not None]
        self.drop(group)
        group.is_reduced = True
        if self.scattering is not None:
            m.release(self.scattering)
            self.scattering = None
        if not ready:
            return
        nbytes = sum(padded_elements(p.shape, self.ranks) * itemsize(p.dtype) for p, _ in ready)
        self.scattering = flat(m, nbytes * self.ranks, "aten::empty", "reduce-scatter input")
        for p, _ in ready:
            assert p.grad is not None
            m.release(p.grad)
            p.grad = None
        self._scattered(ready, nbytes)

    def _scattered(self, ready: list[tuple[Tensor, Tensor]], nbytes: int) -> None:
        m = self.m
        output = flat(m, nbytes, "aten::empty", f"gradients of {len(ready)} shards")
        m.records[output.storage.number].kind = "gradient"
        if self.ranks > 1:
            self._staged(nbytes * self.ranks, "aten::clone")
            self.scatters.append(nbytes * self.ranks)
        for _, shard in ready:
            if shard.grad is None:
                shard.grad = m.hold(output)
        m.release(output)

    def end_backward(self) -> None:
        """What torch queues for the end: units whose inputs need no gradient, the root first among them."""
        for group in self.groups.values():
            if not group.is_reduced:
                self.after_backward(group)
        if self.scattering is not None:
            self.m.release(self.scattering)
        self.scattering = None


ROOT = ""


_AGAIN = re.compile(r"@\d+")


@dataclass(frozen=True, slots=True)
class Unit:
    """`runs` are half-open ranges of the program's calls: each is one call of the module."""

    name: str
    parameters: tuple[str, ...]
    runs: tuple[tuple[int, int], ...]


def units(program: Program) -> list[Unit]:
    """The root first, then blocks in the order in which they run."""
    owner = _owners(program)
    names = frozenset(g.name for g in program.of("parameter"))
    inner = frozenset(owner.values())
    labels = [_label(call, owner, inner, names) for call in program.calls]
    runs: dict[str, list[tuple[int, int]]] = defaultdict(list)
    current = ROOT
    for position, label in enumerate(labels):
        if label is None:
            continue
        if label == current and runs[label]:
            runs[label][-1] = (runs[label][-1][0], position + 1)
        else:
            runs[label].append((position, position + 1))
        current = label
    held: dict[str, list[str]] = defaultdict(list)
    for given in program.of("parameter"):
        held[owner.get(given.name, ROOT)].append(given.name)
    root = Unit(ROOT, tuple(held[ROOT]), ((0, len(program.calls)),))
    return [
        root,
        *(Unit(name, tuple(held[name]), tuple(spans)) for name, spans in runs.items() if held.get(name) and name),
    ]


def _owners(program: Program) -> dict[str, str]:
    """Parameter -> block, for containers with two members or more."""
    named = {g.name: _numbered(g.name) for g in program.of("parameter")}
    readers = {name: call for call in reversed(program.calls) for name in call.reads}
    for name, block in named.items():
        if block is None and name in readers:
            named[name] = next(filter(None, map(_numbered, _paths(readers[name]))), None)
    members: dict[str, set[str]] = defaultdict(set)
    for block in named.values():
        if block is not None:
            members[block.rpartition(".")[0]].add(block)
    return {n: b for n, b in named.items() if b is not None and len(members[b.rpartition(".")[0]]) > 1}


def _numbered(name: str) -> str | None:
    """`layers.3` of `layers.3.attn.weight`: the name up to its first number, which something must follow."""
    parts = name.split(".")
    for i, part in enumerate(parts[:-1]):
        if part.isdecimal():
            return ".".join(parts[: i + 1])
    return None


def _label(call: Call, owner: dict[str, str], blocks: frozenset[str], parameters: frozenset[str]) -> str | None:
    """The block that a call is part of, ROOT for another module's, or None where nothing says."""
    paths = _paths(call)
    for block in filter(None, map(_numbered, paths)):
        if block in blocks:
            return block
    for name in call.reads:
        if name in parameters:
            return owner.get(name, ROOT)
    return ROOT if paths else None


def _paths(call: Call) -> list[str]:
    """The modules that a call is inside of, each with a dot; exporters write them all, or the innermost.

    A module that is called again is written `blocks.0@1` by torch.export.
    """
    return [_AGAIN.sub("", path) + "." for path in (call.origin.path or (call.origin.scope,)) if path]
