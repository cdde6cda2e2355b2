"""Parameters of a unit come and go on one rank: fully_shard's gathers, resharding, reduce-scatters.

A rank stores 1/W of every parameter, padded, and of its gradient and optimizer state. A unit's parameters are gathered
before it runs, dropped after it (not the root's, nor any in zero2) and gathered again before its backward, where the
gather of the unit before is begun early. Its gradients are then reduced and scattered; the flat input of that is kept
until the next unit has its turn.

    forward of unit i    gather i . copy out . drop the flat output of unit i-1's gather . run . drop parameters
    backward of unit i   wait: copy out, drop the flat output . begin to gather unit i-1 . run . drop parameters .
                         drop the last flat input . flat input . drop gradients . flat output: the sharded gradients

Source: _fsdp_param_group.py, _fsdp_state.py, _fsdp_collectives.py of torch/distributed/fsdp/_fully_shard, torch 2.13.
On the CPU gloo copies the output of an all-gather and the input of a reduce-scatter once more; NCCL does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from graphmem.autograd.machine import Machine
from graphmem.autograd.tensor import Tensor, itemsize
from graphmem.schedule.parallel.buckets import padded_elements
from graphmem.schedule.parallel.process import flat, resize
from graphmem.schedule.parallel.units import ROOT, Unit


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
            m.kind, m.label = "parameter", p.name
            resize(m, p.storage, padded_elements(p.shape, self.ranks) * self.ranks, p.dtype)
        m.kind, m.label = "activation" if is_forward else "temporary", ""
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
