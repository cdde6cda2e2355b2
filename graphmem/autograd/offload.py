"""Host: where torch.autograd.graph.save_on_cpu keeps what nodes save, and the bytes that go there and back.

Source: torch/autograd/graph.py of torch 2.13 (save_on_cpu): `pack` copies to the host, `unpack` makes a new tensor on
the device, which dies with the backward function that asked for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from graphmem.autograd import ops
from graphmem.autograd.machine import Machine
from graphmem.autograd.tensor import Node, Tensor


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
