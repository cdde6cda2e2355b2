"""Path, notes -> the same model with the notes in its metadata_props; and the names by which viewers know its nodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphmem.reader.load import parsed


def node_ids(path: Path) -> tuple[str, dict[str, str]]:
    """The graph's name, and for every tensor that a node of the main graph writes the node's name or "<node_INDEX>"."""
    graph = parsed(path).graph
    ids: dict[str, str] = {}
    for index, node in enumerate(graph.node):
        ids |= {name: node.name or f"<node_{index}>" for name in node.output if name}
    return graph.name, ids


def annotated(
    path: Path, model_notes: Mapping[str, str], node_notes: Mapping[str, Mapping[str, str]]
) -> tuple[bytes, int]:
    """The serialized model and how many nodes got a note; `node_notes` go by a tensor that the node writes.

    External data stays where it is, unread: the references are relative, so the copy belongs into the same folder.
    """
    model = parsed(path)
    _write(model.metadata_props, model_notes)
    count = 0
    for node in model.graph.node:
        notes = next((node_notes[name] for name in node.output if name in node_notes), None)
        if notes:
            _write(node.metadata_props, notes)
            count += 1
    return model.SerializeToString(deterministic=True), count


def _write(props: Any, notes: Mapping[str, str]) -> None:
    """Set entries, replacing those of an earlier run."""
    kept = [(entry.key, entry.value) for entry in props if entry.key not in notes]
    del props[:]
    for key, value in [*kept, *notes.items()]:
        props.add(key=key, value=value)
