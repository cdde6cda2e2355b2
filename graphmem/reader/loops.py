"""Loop and Scan -> output types, walked trip by trip or once with what no trip changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import onnx

from graphmem.ir.budget import SpentError
from graphmem.ir.errors import ModelError
from graphmem.ir.graph import Graph, Issue
from graphmem.ir.types import BoundedType, SequenceType, TensorType, Type, UnknownType
from graphmem.reader.either import joined, options
from graphmem.reader.held import MAX_UNROLLED, Held, Outcome, Versions, given, truth
from graphmem.reader.order import described, steps_of
from graphmem.reader.protos import plain_attributes
from graphmem.reader.rules.call import OpenError
from graphmem.reader.rules.sequences import described_by, dims_of
from graphmem.reader.values import Value

# As many trips as no loop makes: exporters give a while loop the greatest number of its integer type.
ENDLESS = 2**31 - 1
# Rounds in which the types that a loop carries must settle; each gives up at least one fact of some carried value.
MAX_ROUNDS = 8


def _count(value: Value | None) -> tuple[int, int] | None:
    """Least and greatest number of trips that a value states."""
    if value is None or value.low.size != 1 or value.low.dtype.kind not in "iu":
        return None
    return tuple(max(0, int(end.reshape(-1)[0])) for end in (value.low, value.high))  # type: ignore[return-value]


def loop(held: Held) -> Outcome:
    """Inputs: greatest number of trips, condition to start, values carried; body outputs: condition, carried, scans."""
    body = held.body("body")
    carried = max(0, len(held.proto.input) - 2)
    scans = len(body.output) - 1 - carried
    if scans < 0 or len(held.proto.output) != carried + scans:
        raise ModelError(f"{described(held.proto)} carries {carried} values but its body puts out {len(body.output)}")
    goes_on = truth(held.values[1]) if len(held.proto.input) > 1 and held.proto.input[1] else True
    limit = _count(held.values[0]) if held.proto.input and held.proto.input[0] else None
    stated = held.walk.stated_trips(held.proto)
    if goes_on is False:
        limit = stated = (0, 0)
    if stated is not None:
        limit = stated
    walked = None
    if ((limit is None or limit[0] == limit[1]) and goes_on is not None) or stated is not None:
        walked = _attempted(held, body, None if limit is None else limit[0], stated is not None)
    if stated is None and limit is not None and limit[1] >= ENDLESS:
        limit = None  # how exporters write "while"
    return walked if walked is not None else _settled(held, body, limit, goes_on, stated is not None)


_COUNTER, _FLAG = TensorType("int64", ()), TensorType("bool", ())


def _attempted(held: Held, body: onnx.GraphProto, limit: int | None, forced: bool) -> Outcome | None:
    """The loop walked trip by trip, or None where its end cannot be told or the work would be too much."""
    allowed = MAX_UNROLLED // (len(body.node) + 1)
    ends_by_count = forced or _passes_condition(body, True)
    if limit is not None and limit > allowed and ends_by_count:
        return None
    if limit is not None and min(limit, allowed) * steps_of(body) > held.walk.budget.steps // 2:
        return None
    mark = len(held.walk.issues)
    try:
        with held.walk.budget.attempt():
            found = _unrolled(held, body, limit, allowed, forced)
    except SpentError:
        found = None
    except ModelError:  # in a trip that the run need not reach, where only it knows how many there are
        if limit is not None or not (held.proto.input and held.proto.input[0]):
            raise
        found = None
    if found is None:
        del held.walk.issues[mark:]
    return found


def _unrolled(held: Held, body: onnx.GraphProto, limit: int | None, allowed: int, forced: bool) -> Outcome | None:
    """The loop walked trip by trip, or None where its end cannot be told or is beyond what is allowed."""
    carried = len(held.types[2:])
    types, values = [given(t) for t in held.types[2:]], list(held.values[2:])
    graphs = Versions()
    scans: list[list[Type]] = []
    trip, goes_on = 0, True
    while goes_on and (limit is None or trip < limit):
        if trip >= allowed:
            return None
        inputs = [Value.exactly(np.array(trip, np.int64)), Value.exactly(np.array(True)), *values]
        graph, found, known = held.run(body, [_COUNTER, _FLAG, *types], inputs)
        graphs.add(graph)
        scans.append(found[1 + carried :])
        types, values = found[1 : 1 + carried], known[1 : 1 + carried]
        verdict = True if forced else truth(known[0])
        if verdict is None:
            return None
        goes_on, trip = verdict, trip + 1
    if not trip:
        return _never(held, body)
    stacked = [_stacked(list(row), (trip, trip), 0) for row in zip(*scans, strict=True)]
    return Outcome([*types, *stacked], [*values, *(None for _ in stacked)], graphs.labelled("body"), trip)


def _never(held: Held, body: onnx.GraphProto) -> Outcome:
    """A loop of no trips: what it carries passes through, what it scans has no element."""
    types = [given(t) for t in held.types[2:]]
    _, found, _ = held.run(body, [_COUNTER, _FLAG, *types], [None] * (2 + len(types)))
    stacked = [_stacked([type_], (0, 0), 0) for type_ in found[1 + len(types) :]]
    values = [*held.values[2:], *(None for _ in stacked)]
    return Outcome([*types, *stacked], values, (("body", held.walk.weights_of(body)),), 0)


def _stacked(types: Sequence[Type], trips: tuple[int, int] | None, axis: int) -> Type:
    """The tensor that holds one such value per trip, along a new axis."""
    type_ = described_by(types)
    if isinstance(type_, BoundedType) and type_.others:
        return joined([_stacked([given(option)], trips, axis) for option in options(type_)])
    if isinstance(type_, TensorType | BoundedType) and trips is not None:
        low, high = (type_.shape, type_.shape) if isinstance(type_, TensorType) else (type_.low, type_.high)
        low, high = _inserted(low, axis, trips[0]), _inserted(high, axis, trips[1])
        return TensorType(type_.dtype, high) if low == high else BoundedType(type_.dtype, low, high)
    dims = dims_of(type_)
    if dims is None:
        return UnknownType(getattr(type_, "dtype", None))
    size = trips[0] if trips and trips[0] == trips[1] else None
    return UnknownType(getattr(type_, "dtype", None), _inserted(dims, axis, size))


Dim = TypeVar("Dim")


def _inserted(shape: tuple[Dim, ...], axis: int, size: Dim) -> tuple[Dim, ...]:
    at = axis if axis >= 0 else axis + len(shape) + 1
    if not 0 <= at <= len(shape):
        raise OpenError("scan axis")
    return (*shape[:at], size, *shape[at:])


def _fixed_point(
    held: Held, body: onnx.GraphProto, before: Sequence[Type], carried: Sequence[Type], counter: Value | None
) -> tuple[Graph, list[Type], list[Type], list[Value | None]] | None:
    """(body, types carried, all output types, output values) once no trip changes what is carried; None if they never.

    `before` are the types ahead of the carried ones in the body's inputs (and the same number lead its outputs, less
    the counter).
    """
    mark = len(held.walk.issues)
    types = list(carried)
    lead = len(before) - 1 if before else 0
    for _ in range(MAX_ROUNDS):
        values: list[Value | None] = [None] * (len(before) + len(types))
        if before:
            values[0] = counter
        graph, found, known = held.run(body, [*before, *types], values)
        after = found[lead : lead + len(types)]
        wider = [a if a == b else _widened(a, b) for a, b in zip(types, after, strict=True)]
        if wider == types:
            return graph, types, found, known
        types = wider
        del held.walk.issues[mark:]
    return None


def _widened(a: Type, b: Type) -> Type:
    if isinstance(a, SequenceType) and isinstance(b, SequenceType):
        return SequenceType(described_by([a.element, b.element]), None)
    return described_by([a, b])


def _settled(
    held: Held, body: onnx.GraphProto, limit: tuple[int, int] | None, goes_on: bool | None, forced: bool
) -> Outcome:
    """The loop walked once, with what no trip changes."""
    carried = [given(t) for t in held.types[2:]]
    most = None if limit is None else max(0, limit[1] - 1)
    counter = None if most is None else Value(np.array(0, np.int64), np.array(most, np.int64))
    fixed = _fixed_point(held, body, [_COUNTER, _FLAG], carried, counter)
    if fixed is None:
        return held.unknown
    graph, types, found, known = fixed
    ends_by_count = forced or (goes_on is True and truth(known[0]) is True) or _passes_condition(body, goes_on)
    if limit is not None and not ends_by_count:
        limit = (0, limit[1])
    scans = [_stacked([type_], limit, 0) for type_ in found[1 + len(carried) :]]
    if limit is None and scans:
        name = held.proto.name or next((o for o in held.proto.output if o), "?")
        what = f"how often it runs is not known; state it with --trip-count {name}=N"
        held.walk.issues.append(Issue("unknown-shape", described(held.proto), what))
    trips = None if limit is None else limit[1]
    return Outcome([*types, *scans], [None] * (len(types) + len(scans)), (("body", graph),), trips)


def _passes_condition(body: onnx.GraphProto, goes_on: bool | None) -> bool:
    """True when the body hands on the condition that it was given, which is true."""
    given, handed_on = body.input[1].name, body.output[0].name
    for node in reversed(body.node):
        is_copy = node.op_type == "Identity" and node.domain in ("", "ai.onnx")
        if handed_on in node.output and is_copy and node.input:
            handed_on = node.input[0]
    return goes_on is True and handed_on == given


def scan(held: Held) -> Outcome:
    """Opset 8 has a batch axis in front of everything and an input of lengths; later opsets have neither."""
    body = held.body("body")
    is_batched = held.walk.typer.opsets.get("", 1) < 9
    inputs = [given(t) for t in held.types][1 if is_batched else 0 :]
    plain = plain_attributes(held.proto)
    scanned = plain.get("num_scan_inputs")
    if not isinstance(scanned, int) or not 0 < scanned <= len(inputs):
        raise ModelError(f"{described(held.proto)} scans {scanned} of {len(inputs)} inputs")
    states, sources = inputs[: len(inputs) - scanned], inputs[len(inputs) - scanned :]
    outs = len(held.proto.output) - len(states)
    axes_in, axes_out = (
        tuple(plain.get(name, ())) or (0,) * n
        for name, n in (("scan_input_axes", scanned), ("scan_output_axes", max(outs, 0)))
    )
    if len(body.output) != len(held.proto.output) or outs < 0 or len(axes_in) != scanned or len(axes_out) != outs:
        raise ModelError(f"{described(held.proto)} and its body do not agree in number of outputs or axes")
    try:
        return _scanned(held, body, states, sources, axes_in, axes_out, is_batched)
    except OpenError:
        return held.unknown


def _scanned(
    held: Held,
    body: onnx.GraphProto,
    states: Sequence[Type],
    sources: Sequence[Type],
    axes_in: Sequence[int],
    axes_out: Sequence[int],
    is_batched: bool,
) -> Outcome:
    batch: tuple[int, int] | None = None
    if is_batched:
        batch = _along(sources[0], 0)
        states, sources = ([_without(t, 0) for t in row] for row in (states, sources))
    trips = _along(sources[0], axes_in[0])
    slices = [_without(type_, axis) for type_, axis in zip(sources, axes_in, strict=True)]
    graph, found, _ = held.run(body, [*states, *slices], [None] * (len(states) + len(slices)))
    finals = [a if a == b else _widened(a, b) for a, b in zip(states, found, strict=False)]
    stacked = [_stacked([t], trips, axis) for t, axis in zip(found[len(states) :], axes_out, strict=True)]
    types = [*finals, *stacked]
    if batch is not None:
        types = [_stacked([type_], batch, 0) for type_ in types]
    times = None if trips is None else trips[1]
    return Outcome(types, [None] * len(types), (("body", graph),), times)


def _along(type_: Type, axis: int) -> tuple[int, int] | None:
    if isinstance(type_, TensorType) or (isinstance(type_, BoundedType) and not type_.others):
        low, high = (type_.shape, type_.shape) if isinstance(type_, TensorType) else (type_.low, type_.high)
        if -len(high) <= axis < len(high):
            return low[axis], high[axis]
    return None


def _without(type_: Type, axis: int) -> Type:
    """The type less that axis."""
    dims = dims_of(type_)
    if dims is None:
        return UnknownType(getattr(type_, "dtype", None))
    if not -len(dims) <= axis < len(dims):
        raise OpenError("axis")
    at = axis % len(dims)
    if isinstance(type_, TensorType):
        return TensorType(type_.dtype, (*type_.shape[:at], *type_.shape[at + 1 :]))
    if isinstance(type_, BoundedType):
        low, high = ((*s[:at], *s[at + 1 :]) for s in (type_.low, type_.high))
        return TensorType(type_.dtype, high) if low == high else BoundedType(type_.dtype, low, high)
    return UnknownType(getattr(type_, "dtype", None), (*dims[:at], *dims[at + 1 :]))
