"""Control flow -> workspace: what a node's bodies hold while they run, beyond what the node itself reads and writes.

A body runs as a schedule of its own, nested in its node's step; the step's workspace is that schedule's peak, and of
several bodies the worst. Not counted again is what the node's step already counts:

    If           the branch's outputs        are the node's outputs
    Loop, Scan   the values carried out      are the node's outputs
                 the values carried in       are the node's inputs in a single trip, else those of the trip before
    Scan         a slice along axis 0        is a view of the input that it is cut from (not in "plain")
    SequenceMap  the elements in and out     are those of the sequences (in: not in "plain")
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from graphmem.ir.graph import Graph, Issue, Node
from graphmem.ir.schedule import Schedule
from graphmem.memory.liveness import lifetimes, timeline

Nested = Callable[[Graph, str], Schedule]


def workspace(node: Node, model: str, nested: Nested) -> int:
    """Bytes that the worst of the node's bodies holds at once; `nested` builds a body's schedule."""
    return max((_peak(node, body, model, nested) for _, body in node.bodies), default=0)


def branch_notes(graph: Graph, model: str, nested: Nested) -> list[Issue]:
    """For every If that only the run decides, which branch the figures are those of."""
    notes = []
    for node in graph.nodes:
        for _, body in node.bodies:
            notes += branch_notes(body, model, nested)
        walked = [(label, body) for label, body in node.bodies if body.outputs]
        if node.op_type == "If" and not node.domain and len(walked) == 2:
            rows = [(_peak(node, body, model, nested), label) for label, body in walked]
            (most, worse), (least, other) = max(rows, key=lambda row: row[0]), min(rows, key=lambda row: row[0])
            what = (
                f"either branch may run; counted is '{worse}', the worse: {most} bytes inside it, {least} in '{other}'"
                if most != least
                else f"either branch may run; inside it both take {most} bytes"
            )
            notes.append(Issue("assumption", f"node '{node.name or next(iter(node.writes), '?')}' (If)", what))
    return notes


def _peak(node: Node, body: Graph, model: str, nested: Nested) -> int:
    schedule = nested(body, model)
    elsewhere = _counted_by_node(node, body, model)
    buffers = tuple(
        replace(buffer, nbytes=0) if any(name in elsewhere for name in buffer.tensors) else buffer
        for buffer in schedule.buffers
    )
    schedule = replace(schedule, buffers=buffers)
    return timeline(lifetimes(schedule), schedule).peak


def _counted_by_node(node: Node, body: Graph, model: str) -> frozenset[str]:
    """Names of the body whose bytes the node's own step counts."""
    own = model == "plain"
    if node.op_type == "Loop":
        carried = len(node.inputs) - 2
        inputs = body.inputs[2:] if node.trips == 1 else ()
        return frozenset((*body.outputs[1 : 1 + carried], *inputs))
    if node.op_type == "Scan":
        scanned = node.attributes.get("num_scan_inputs", 0)
        states = len(body.inputs) - scanned
        axes = node.attributes.get("scan_input_axes") or (0,) * scanned
        views = () if own else (n for n, axis in zip(body.inputs[states:], axes, strict=False) if axis == 0)
        return frozenset((*body.outputs[:states], *(body.inputs[:states] if node.trips == 1 else ()), *views))
    if node.op_type == "SequenceMap":
        return frozenset((*body.outputs, *(() if own else body.inputs)))
    return frozenset(body.outputs)
