"""Operators whose output shape the data decides -> an upper bound on it, each from the operator's specification."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, TypeAlias

from graphmem.ir.types import BoundedType, Shape, TensorType, Type
from graphmem.reader.values import Value

# (dtype, or "" for that of the first input; least shape; greatest shape) of one output.
Bounds: TypeAlias = tuple[str, Shape, Shape]
Rule: TypeAlias = Callable[[Sequence[Shape], Sequence[Value | None], Mapping[str, Any]], list[Bounds]]


def _non_zero(shapes: Sequence[Shape], _: Sequence[Value | None], __: Mapping[str, Any]) -> list[Bounds]:
    rank = max(len(shapes[0]), 1)  # a scalar counts as a vector of one element
    return [("int64", (rank, 0), (rank, prod(shapes[0])))]


def _unique(shapes: Sequence[Shape], _: Sequence[Value | None], attributes: Mapping[str, Any]) -> list[Bounds]:
    shape, axis = shapes[0], attributes.get("axis")
    count = prod(shape) if axis is None else shape[axis]
    least = min(count, 1)
    low, high = ((n,) if axis is None else _replaced(shape, axis, n) for n in (least, count))
    return [
        ("", low, high),
        ("int64", (least,), (count,)),
        ("int64", (count,), (count,)),
        ("int64", (least,), (count,)),
    ]


def _compress(shapes: Sequence[Shape], values: Sequence[Value | None], attributes: Mapping[str, Any]) -> list[Bounds]:
    shape, axis = shapes[0], attributes.get("axis")
    along = prod(shape) if axis is None else shape[axis]
    condition = values[1]
    if condition is None:
        least, most = 0, min(along, shapes[1][0])
    else:
        least, most = (int(end[:along].sum()) for end in (condition.low, condition.high))
    if axis is None:
        return [("", (least,), (most,))]
    return [("", _replaced(shape, axis, least), _replaced(shape, axis, most))]


def _replaced(shape: Shape, axis: int, size: int) -> Shape:
    axis %= len(shape)
    return (*shape[:axis], size, *shape[axis + 1 :])


def _non_max_suppression(shapes: Sequence[Shape], values: Sequence[Value | None], _: Mapping[str, Any]) -> list[Bounds]:
    (batches, boxes, _four), (_batches, classes, _boxes) = shapes[0], shapes[1]
    most = values[2] if len(values) > 2 else None
    if len(shapes) < 3:
        kept = 0  # max_output_boxes_per_class is 0 by default, which means no output
    elif most is None:
        kept = boxes
    else:
        kept = max(0, min(boxes, int(most.high.reshape(-1)[0])))
    return [("int64", (0, 3), (batches * classes * kept, 3))]


RULES: Mapping[str, Rule] = {
    "NonZero": _non_zero,
    "Unique": _unique,
    "Compress": _compress,
    "NonMaxSuppression": _non_max_suppression,
}


def bounded_outputs(
    op_type: str, types: Sequence[Type | None], values: Sequence[Value | None], attributes: Mapping[str, Any]
) -> list[Type] | None:
    """Types of the outputs of a data-dependent operator, or None when an input is not known well enough."""
    given = [type_ for type_ in types if type_ is not None]
    lows, highs, dtypes = [], [], []
    for type_ in given:
        if not isinstance(type_, TensorType | BoundedType):
            return None
        lows.append(type_.shape if isinstance(type_, TensorType) else type_.low)
        highs.append(type_.shape if isinstance(type_, TensorType) else type_.high)
        dtypes.append(type_.dtype)
    try:
        least = RULES[op_type](lows, values, attributes)
        most = RULES[op_type](highs, values, attributes)
    except (ValueError, IndexError, TypeError):  # ranks or attributes that the specification does not allow
        return None
    return [
        TensorType(dtype or dtypes[0], high) if low == high else BoundedType(dtype or dtypes[0], low, high)
        for (dtype, low, _), (_, _, high) in zip(least, most, strict=True)
    ]
