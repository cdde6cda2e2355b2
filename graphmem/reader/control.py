"""Control flow -> output types and typed bodies: If, Loop, Scan, SequenceMap, and any operator that holds graphs.

If        the caller or a known condition decides the branch, or that the other cannot run at these sizes; otherwise the
          outputs are whatever holds for both
Loop      walked iteration by iteration where its trip count is known and the work small (shapes and values may then
          change from one to the next), else once with what no iteration changes
Scan      walked once: its specification keeps the shapes of the state
Bodies that are not walked, or walked more than once, still count their initializers with the weights, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import onnx

from graphmem.ir.budget import SpentError
from graphmem.ir.errors import ModelError
from graphmem.ir.graph import Graph, Issue
from graphmem.ir.types import SequenceType, Type, UnknownType
from graphmem.reader.either import either, joined
from graphmem.reader.held import MAX_UNROLLED, Held, Outcome, UnfitError, Versions, given, truth
from graphmem.reader.loops import loop, scan
from graphmem.reader.order import described
from graphmem.reader.rules.sequences import sequence_of
from graphmem.reader.values import Value

# A body walked: its graph, and the types and values that it puts out.
Run: TypeAlias = "tuple[Graph, list[Type], list[Value | None]]"


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
    found = held.walk.typer.outputs(held.proto, held.types, held.values)
    return Outcome(found.types, found.values, held.unknown.bodies)


def _if(held: Held) -> Outcome:
    branches = {label: held.body(label) for label in ("then_branch", "else_branch")}
    for body in branches.values():
        if body.input or len(body.output) != len(held.proto.output):
            raise ModelError(f"{described(held.proto)} has branches whose inputs or outputs do not fit it")
    taken = held.walk.stated_branch(held.proto)
    condition = truth(held.values[0]) if held.values else None
    if taken is None and condition is not None:
        taken = "then_branch" if condition else "else_branch"
        what = f"its condition is {str(condition).lower()} before the run, so its {_spoken(taken)} branch runs"
        held.walk.issues.append(Issue("branch", described(held.proto), what))
    if taken is not None:
        return _only(held, branches, taken, held.run(branches[taken], [], []))
    runs: dict[str, Run] = {}
    failed: dict[str, UnfitError] = {}
    for label, body in branches.items():
        mark = len(held.walk.issues)
        try:
            runs[label] = held.run(body, [], [])
        except UnfitError as error:
            failed[label] = error
            del held.walk.issues[mark:]
    if not runs:
        raise failed["then_branch"]
    for skipped, why in failed.items():
        (left,) = runs
        what = f"its {_spoken(skipped)} branch cannot run at these sizes ({why}); its {_spoken(left)} branch is taken"

        held.walk.issues.append(Issue("branch", described(held.proto), what))
        return _only(held, branches, left, runs[left])
    types = [joined(row) for row in zip(*(run[1] for run in runs.values()), strict=True)]
    values = [either(*row) for row in zip(*(run[2] for run in runs.values()), strict=True)]
    return Outcome(types, values, tuple((label, run[0]) for label, run in runs.items()))


def _spoken(label: str) -> str:
    return label.removesuffix("_branch")


def _only(held: Held, branches: Mapping[str, onnx.GraphProto], taken: str, run: Run) -> Outcome:
    """What the one branch puts out; the weights of the other are in the file all the same."""
    graph, types, values = run
    other = "else_branch" if taken == "then_branch" else "then_branch"
    return Outcome(types, values, ((taken, graph), (other, held.walk.weights_of(branches[other]))))


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
