"""Problem file -> Recompute: the JSON form of the public instances (docs/checkpointing.md)."""

from __future__ import annotations

import json
from typing import Any

from graphmem.ir.errors import InputError
from graphmem.ir.recompute import Operation, Recompute


def parsed(text: str, where: str, keep_order: bool) -> Recompute:
    """The question that a document asks; errors name the file and the node."""
    try:
        document = json.loads(text)
        nodes, edges = document["nodes"], document["edges"]
        operations = tuple(_operation(i, node, where) for i, node in enumerate(nodes))
        reads = _reads(edges, len(operations), where)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"'{where}' is not a checkpoint problem with 'nodes' and 'edges': {error!r}") from error
    if not operations:
        raise InputError(f"'{where}' has no nodes, so that there is nothing to keep or to recompute")
    return Recompute(operations, reads, keep_order, name=str(document.get("name", where)))


def _operation(i: int, node: dict[str, Any], where: str) -> Operation:
    nbytes, cost = node["bytes"], node["cost"]
    if not all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in (nbytes, cost)):
        raise InputError(f"'{where}': node {i} has bytes {nbytes!r} and cost {cost!r}; both must be integers from 0 on")
    operator = str(node.get("op", ""))
    return Operation(
        name=str(node.get("name", f"{i}:{operator}" if operator else str(i))),
        nbytes=nbytes,
        cost=cost,
        backward=bool(node.get("backward", False)),
        pinned=bool(node.get("pinned", False)),
        scope=str(node.get("scope", "")),
        operator=operator,
    )


def _reads(edges: list[list[int]], size: int, where: str) -> tuple[tuple[int, ...], ...]:
    reads: list[set[int]] = [set() for _ in range(size)]
    for source, reader in edges:
        if not 0 <= source < reader < size:
            raise InputError(f"'{where}': edge [{source}, {reader}] does not lead from an earlier node to a later one")
        reads[reader].add(source)
    return tuple(tuple(sorted(found)) for found in reads)
