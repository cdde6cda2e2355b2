"""Which dimensions of a graph's tensors are the same channels: groups, and who has them.

    conv1 --a-- bn --a-- relu --a-- conv2 --b-- add --b--       b is a too when the add's other side is a

A dimension is a row of segments (group, repeat): two of them after a concatenation, repeat > 1 behind a flattening.
Pinned groups keep their size. The operators' rules are in channel_rules.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from graphmem.ir.graph import Graph, Node
from graphmem.ir.types import TensorType

Segments: TypeAlias = tuple[tuple[int, int], ...]


class Groups:
    """Sets of channels that are the same, by number; `pinned` ones keep their size."""

    def __init__(self) -> None:
        self.parent: list[int] = []
        self.size: list[int] = []
        self.pinned: list[bool] = []

    def new(self, size: int, pinned: bool = False) -> Segments:
        """A dimension of its own."""
        self.parent.append(len(self.parent))
        self.size.append(size)
        self.pinned.append(pinned)
        return ((len(self.parent) - 1, 1),)

    def find(self, group: int) -> int:
        """The number that stands for all groups tied to this one."""
        while self.parent[group] != group:
            self.parent[group] = self.parent[self.parent[group]]
            group = self.parent[group]
        return group

    def pin(self, segments: Segments) -> None:
        """Let them keep their size."""
        for group, _ in segments:
            self.pinned[self.find(group)] = True

    def tie(self, one: Segments, other: Segments) -> None:
        """They are the same channels; rows that are cut differently are pinned."""
        shapes = [[(self.size[self.find(g)], repeat) for g, repeat in row] for row in (one, other)]
        if shapes[0] != shapes[1]:
            self.pin(one)
            self.pin(other)
            return
        for (a, _), (b, _) in zip(one, other, strict=True):
            first, second = self.find(a), self.find(b)
            self.parent[second] = first
            self.pinned[first] |= self.pinned[second]


class Channels:
    """`of` holds the segments of (tensor, axis); `axis` the channel axis of each activation that has one."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.groups = Groups()
        self.of: dict[tuple[str, int], Segments] = {}
        self.axis: dict[str, int] = {}
        self.makers = {name: node for node in graph.nodes for name in node.writes if graph.is_weight(node)}

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor; () when it is not known."""
        tensor = self.graph.tensors.get(name)
        return tensor.type.shape if tensor is not None and isinstance(tensor.type, TensorType) else ()

    def is_weight(self, name: str) -> bool:
        """True when the tensor is fixed before the run."""
        return name in self.graph.tensors and self.graph.tensors[name].role == "weight"

    def segments(self, name: str, axis: int) -> Segments | None:
        """Those of an activation's channel axis, when it is this one."""
        return self.of.get((name, axis)) if self.axis.get(name) == axis else None

    def pin(self, name: str) -> None:
        """Let the channels of an activation keep their number."""
        if name in self.axis:
            self.groups.pin(self.of[name, self.axis[name]])

    def pin_reads(self, node: Node) -> None:
        """The same for all that a node reads, weights included."""
        for name in node.reads:
            self.pin(name)
            if self.is_weight(name):
                for axis in range(len(self.shape(name))):
                    self.groups.pin(self.of.get((name, axis), ()))

    def give_others(self, node: Node) -> None:
        """A mask or indices of the result's shape have its channels, and so have statistics."""
        first = node.outputs[0]
        for name in node.writes[1:]:
            if self.shape(name) == self.shape(first):
                self.give(name, self.axis[first], self.of[first, self.axis[first]])
            elif self.shape(name) == (self.shape(first)[self.axis[first]],):
                self.give(name, 0, self.of[first, self.axis[first]])

    def give(self, name: str, axis: int, row: Segments) -> None:
        """An activation has these channels."""
        self.axis[name] = axis
        self.of[name, axis] = row

    def weigh(self, name: str, axis: int, row: Segments) -> None:
        """A dimension of a weight has these channels, and so has that of the weight it is a turned copy of."""
        if (name, axis) in self.of:
            self.groups.tie(self.of[name, axis], row)
            return
        self.of[name, axis] = row
        maker = self.makers.get(name)
        if maker is None:
            return
        source = maker.inputs[0] if maker.inputs else ""
        if maker.standard_type == "Transpose":
            order = maker.attributes.get("perm") or range(len(self.shape(name)) - 1, -1, -1)
            self.weigh(source, list(order)[axis], row)
        elif maker.standard_type in ("Identity", "Cast"):
            self.weigh(source, axis, row)
        else:
            self.groups.pin(row)

    def layer(self, node: Node, weight: str, ins: int, outs: int, axis: int) -> bool:
        """A layer whose weight has its inputs and outputs on these axes; `axis` is that of its activations."""
        x, shape = node.inputs[0], self.shape(weight)
        if not self.is_weight(weight) or len(shape) <= max(ins, outs):
            return False
        row = self.segments(x, axis)
        if row is not None:
            self.weigh(weight, ins, row)
        else:
            self.pin(x)
        made = self.groups.new(shape[outs])
        self.weigh(weight, outs, made)
        bias = node.inputs[2] if len(node.inputs) > 2 else ""
        if self.shape(bias)[-1:] == (shape[outs],):  # one number for all channels stays as it is
            self.weigh(bias, len(self.shape(bias)) - 1, made)
        self.give(node.outputs[0], axis, made)
        return True


def sizes(row: Segments, groups: Groups, kept: Sequence[int]) -> int:
    """Size of a dimension when each group keeps that many channels."""
    return sum(kept[groups.find(group)] * repeat for group, repeat in row)
