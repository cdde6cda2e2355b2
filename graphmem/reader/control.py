"""Control flow -> output types and typed bodies: If, Loop, Scan, SequenceMap, and any operator that holds graphs.

If        a known condition decides the branch; otherwise the outputs are whatever holds for both
Loop      walked iteration by iteration where its trip count is known and the work small (shapes and values may then
          change from one to the next), else once with what no iteration changes
Scan      walked once: its specification keeps the shapes of the state
Bodies that are not walked, or walked more than once, still count their initializers with the weights, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from graphmem.ir.budget import SpentError
from graphmem.ir.errors import ModelError
from graphmem.ir.graph import Issue
from graphmem.ir.types import SequenceType, Type, UnknownType
from graphmem.reader.held import MAX_UNROLLED, Held, Outcome, Versions, given, joined, truth
from graphmem.reader.loops import loop, scan
from graphmem.reader.order import described
from graphmem.reader.rules.sequences import sequence_of
from graphmem.reader.values import Value


def outcome(held: Held) -> Outcome:
    """What a node with bodies puts out, by its operator."""
    kind = held.proto.op_type if held.proto.domain in ("", "ai.onnx") else ""
    rule = _RULES.get(kind)
    if rule is None:
        return _by_rule(held)
    try:
        held.walk.typer.check(held.proto, held.types)
    except ModelError as error:
        raise ModelError(f"{described(held.proto)}: {error}") from error
    try:
        return rule(held)
    except SpentError:
        if held.walk.budget.attempts:  # not alone this node: what is attempted takes too much
            raise
        what = "its bodies take more work than one file may ask for, so what they put out is not known"
        held.walk.issues.append(Issue("unknown-shape", described(held.proto), what))
        return held.unknown


def _by_rule(held: Held) -> Outcome:
    """An operator whose graphs are options: typed like any other, if there is a rule for it."""
    types, values = held.walk.typer.outputs(held.proto, held.types, held.values)
    return Outcome(types, values, held.unknown.bodies)


def _if(held: Held) -> Outcome:
    condition = truth(held.values[0]) if held.values else None
    branches = {label: held.body(label) for label in ("then_branch", "else_branch")}
    for body in branches.values():
        if body.input or len(body.output) != len(held.proto.output):
            raise ModelError(f"{described(held.proto)} has branches whose inputs or outputs do not fit it")
    if condition is not None:
        taken = "then_branch" if condition else "else_branch"
        other = "else_branch" if condition else "then_branch"
        graph, types, values = held.run(branches[taken], [], [])
        return Outcome(types, values, ((taken, graph), (other, held.walk.weights_of(branches[other]))))
    runs = [held.run(body, [], []) for body in branches.values()]
    types = [joined(row) for row in zip(*(run[1] for run in runs), strict=True)]
    values = [_either(*row) for row in zip(*(run[2] for run in runs), strict=True)]
    return Outcome(types, values, tuple(zip(branches, (run[0] for run in runs), strict=True)))


def _either(a: Value | None, b: Value | None) -> Value | None:
    """A value that is one of the two."""
    if a is None or b is None or a.low.shape != b.low.shape or a.low.dtype != b.low.dtype:
        return None
    if a.low.dtype.kind not in "iu":
        return a if a.is_exact and b.is_exact and a.low.tobytes() == b.low.tobytes() else None
    return Value(np.minimum(a.low, b.low), np.maximum(a.high, b.high))


def _sequence_map(held: Held) -> Outcome:
    """The body once per element; elements of the same types give the same results."""
    body = held.body("body")
    inputs = [given(t) for t in held.types]
    first = inputs[0] if inputs else UnknownType()
    if not isinstance(first, SequenceType) or len(body.output) != len(held.proto.output):
        return held.unknown
    count = None if first.elements is None else len(first.elements)
    if count is not None and count * (len(body.node) + 1) > MAX_UNROLLED:
        return held.unknown
    types: list[Type]
    rows: list[list[Type]] = []
    graphs = Versions()
    for index in range(count or 0) if count is not None else (None,):
        graph, found, _ = held.run(body, [_element(t, index) for t in inputs], [None] * len(inputs))
        rows.append(found)
        graphs.add(graph)
    if count is None:
        types = [SequenceType(t, None) for t in rows[0]]
        return Outcome(types, [None] * len(types), graphs.labelled("body"), None)
    types = [sequence_of(column) for column in zip(*rows, strict=True)] if rows else []
    types = types or [SequenceType(UnknownType(), ()) for _ in body.output]
    bodies = graphs.labelled("body") or (("body", held.walk.weights_of(body)),)
    return Outcome(types, [None] * len(types), bodies, count)


def _element(type_: Type, index: int | None) -> Type:
    if not isinstance(type_, SequenceType):
        return type_
    if index is None or type_.elements is None:
        return type_.element
    if index >= len(type_.elements):
        raise ModelError("SequenceMap is given sequences of different lengths")
    return type_.elements[index]


_RULES: Mapping[str, Callable[[Held], Outcome]] = {"If": _if, "Loop": loop, "Scan": scan, "SequenceMap": _sequence_map}
