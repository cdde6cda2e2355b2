"""A node -> its neighbours: what patterns of nodes are followed with."""

from __future__ import annotations

from collections.abc import Callable

from graphmem.autograd.raising.draft import Draft
from graphmem.ir.graph import Node

Matcher = Callable[[Draft, Node], "list[Node] | None"]


def only_user(draft: Draft, node: Node, *op_types: str) -> Node | None:
    """The one node that reads the first output, when it is of these operators and the value is not an output."""
    users = draft.users.get(node.outputs[0], [])
    if len(users) != 1 or node.outputs[0] in draft.graph.outputs or (op_types and users[0].op_type not in op_types):
        return None
    return users[0]


def other_input(node: Node, name: str) -> str:
    """The other input of a binary node."""
    return node.inputs[1] if node.inputs[0] == name else node.inputs[0]
