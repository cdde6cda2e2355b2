"""(Graph, share) -> the Graph of the same model with that share of the channels of every layer taken out.

Structured pruning: whole output channels of convolutions and linear layers go, and with them what they are tied to
(channel_rules.py); layers whose channels something else needs whole keep them. A group of C channels keeps
C - floor(share * C), at least one. Weights taken out one by one leave dense tensors as large as they were.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from graphmem.ir.errors import OptionError
from graphmem.ir.graph import Graph, Issue, Node
from graphmem.ir.types import TensorType
from graphmem.passes.channel_rules import tied_channels
from graphmem.passes.channels import Channels, sizes


def pruned(graph: Graph, share: float) -> Graph:
    """The smaller graph, with an issue that says what was taken out; the graph itself for 0.

    Raises OptionError when `share` is not in 0 <= share < 1.
    """
    if not 0 <= share < 1:
        raise OptionError(f"prune {share:g} is not a share of channels; give one from 0 to below 1, such as 0.3")
    if share == 0:
        return graph
    channels = tied_channels(graph)
    groups = channels.groups
    exact = Fraction(str(share))  # 0.3 of 10 channels is 3
    kept = [size if groups.pinned[i] else max(1, size - int(exact * size)) for i, size in enumerate(groups.size)]
    tensors = dict(graph.tensors)
    for (name, axis), row in channels.of.items():
        type_ = tensors[name].type
        if isinstance(type_, TensorType):
            shape = list(type_.shape)
            shape[axis] = sizes(row, groups, kept)
            tensors[name] = replace(tensors[name], type=TensorType(type_.dtype, tuple(shape)))
    nodes = tuple(_regrouped(node, channels, kept) for node in graph.nodes)
    roots = {groups.find(i) for i in range(len(groups.size))}
    free = sum(not groups.pinned[root] for root in roots)
    return replace(graph, nodes=nodes, tensors=tensors, issues=(*graph.issues, _said(share, free, len(roots) - free)))


def _regrouped(node: Node, channels: Channels, kept: list[int]) -> Node:
    """A depthwise convolution has as many groups as channels."""
    row = channels.of.get((node.inputs[1], 0)) if node.standard_type == "Conv" and len(node.inputs) > 1 else None
    if row is None or node.attributes.get("group", 1) == 1:
        return node
    return replace(node, attributes={**node.attributes, "group": sizes(row, channels.groups, kept)})


def _said(share: float, free: int, whole: int) -> Issue:
    if not free:
        what = (
            "no channels can be taken out: the graph needs all of them whole. Taking out single weights "
            "(torch.nn.utils.prune) leaves dense tensors as large as they are, and adds a mask: figures unchanged"
        )
    else:
        what = (
            f"{free} groups of channels are smaller by {share:.0%}, {whole} keep their size, such as outputs and what "
            "is reshaped or split; taking out single weights instead would leave dense tensors as large as they are"
        )
    return Issue("assumption", f"--prune {share:g}", what)
