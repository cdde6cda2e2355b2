"""Slice, of any opset -> its sizes, as bounds where the data decides starts, ends or the input's length.

One axis of n elements, start a, end b, step c: the greatest number of elements need not come from the longest input
(x[-2:3] is longest where x has 3), so every length between the bounds is tried.
onnxruntime reads an end of 2^31 - 1 or 2^63 - 1 under a negative step as "down to the first element"
(onnxruntime/core/providers/cpu/tensor/slice_helper.h); the operator's text clamps it and leaves nothing.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from graphmem.ir.types import BoundedType, TensorType, Type
from graphmem.reader.rules.call import Call, OpenError, Table
from graphmem.reader.values import Array

LEAST, MOST = -(2**63), 2**63 - 1
TO_THE_END = (2**31 - 1, MOST)
# Lengths tried one by one; of a longer input the whole of it is the bound.
MAX_LENGTHS = 65_536
Interval: TypeAlias = "tuple[int, int]"
ANY: Interval = (LEAST, MOST)


def sliced(low: int, high: int, start: Interval, end: Interval, step: Interval) -> Interval:
    """Least and most elements that are left of low..high."""
    if step[0] != step[1]:
        return 0, high
    if step[0] == 0:
        raise OpenError("step 0")
    if high - low > MAX_LENGTHS:
        return 0, -(-high // abs(step[0]))
    lengths = np.arange(low, high + 1, dtype=np.int64)
    counts = [_counts(lengths, a, b, step[0]) for a in _by_sign(start) for b in _by_sign(end)]
    return int(min(least.min() for least, _ in counts)), int(max(most.max() for _, most in counts))


def _by_sign(interval: Interval) -> list[Interval]:
    """The same numbers as one or two intervals in which none or all count from the end."""
    low, high = interval
    return [interval] if low >= 0 or high < 0 else [(low, -1), (0, high)]


def _counts(lengths: Array, start: Interval, end: Interval, step: int) -> tuple[Array, Array]:
    """Least and most elements for every length: the start that leaves most with the end that does, and the reverse."""
    if step > 0:
        return _count(lengths, start[1], end[0], step), _count(lengths, start[0], end[1], step)
    shortest, longest = end[1], end[0]
    if end[0] != end[1] and any(end[0] <= n <= end[1] for n in TO_THE_END):
        shortest, longest = MOST - 1, LEAST
    return _count(lengths, start[0], shortest, step), _count(lengths, start[1], longest, step)


def _count(lengths: Array, start: int, end: int, step: int) -> Array:
    if step < 0 and end in TO_THE_END:
        end = LEAST
    first, last = (lengths + n if n < 0 else np.full_like(lengths, n) for n in (start, end))
    if step > 0:
        first, last = np.clip(first, 0, lengths), np.clip(last, 0, lengths)
    else:
        first, last = np.clip(first, 0, lengths - 1), np.clip(last, -1, lengths)
    counts = -((first - last) // step)
    return np.where(lengths > 0, np.maximum(0, counts), 0)


def _slice(call: Call) -> list[Type]:
    data = call.types[0]
    if not isinstance(data, TensorType | BoundedType):
        raise OpenError("data")
    low, high = (data.shape, data.shape) if isinstance(data, TensorType) else (data.low, data.high)
    starts, ends, axes, steps = _intervals(call, len(high))
    if axes is None:
        return [BoundedType(data.dtype, tuple(0 for _ in high), high) if any(high) else data]
    if len({axis % len(high) for axis in axes}) != len(axes) or any(not -len(high) <= a < len(high) for a in axes):
        raise OpenError("axes")
    least, most = list(low), list(high)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        least[axis], most[axis] = sliced(low[axis], high[axis], start, end, step)
    if least == most:
        return [TensorType(data.dtype, tuple(most))]
    return [BoundedType(data.dtype, tuple(least), tuple(most))]


def _intervals(call: Call, rank: int) -> tuple[list[Interval], list[Interval], tuple[int, ...] | None, list[Interval]]:
    """Starts, ends, axes (None where the run decides them) and steps."""
    if call.opset < 10:
        starts, ends = call.ints("starts"), call.ints("ends")
        axes = call.ints("axes", ()) or tuple(range(len(starts)))
        return [(n, n) for n in starts], [(n, n) for n in ends], axes, [(1, 1)] * len(starts)
    count = next((call.shape(p, 1)[0] for p in (1, 2, 3, 4) if _is_tensor(call, p)), None)
    if count is None:
        return [], [], None, []
    stated: tuple[int, ...] | None = tuple(range(count)) if count <= rank else None
    if call.has(3):
        value = call.values[3]
        exact = value is not None and value.is_exact
        stated = tuple(int(n) for n in value.low.reshape(-1)) if value is not None and exact else None
    starts_, ends_ = _interval(call, 1, count), _interval(call, 2, count)
    steps = _interval(call, 4, count) if call.has(4) else [(1, 1)] * count
    return starts_, ends_, stated, steps


def _is_tensor(call: Call, position: int) -> bool:
    return call.has(position) and isinstance(call.types[position], TensorType)


def _interval(call: Call, position: int, count: int) -> list[Interval]:
    value = call.values[position] if position < len(call.values) else None
    if value is None or value.low.size != count or value.low.dtype.kind not in "iu":
        return [ANY] * count
    return [(int(a), int(b)) for a, b in zip(value.low.reshape(-1), value.high.reshape(-1), strict=True)]


RULES: Table = {"Slice": _slice}
