"""Types and values of which the run chooses one -> the type, or the value, that holds whichever it is.

Ranks may differ: a BoundedType then keeps the other ranks as `others`, and what reads it is typed once for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from graphmem.ir.types import BoundedType, OptionalType, SequenceType, TensorType, Type
from graphmem.reader.rules.sequences import described_by, sequence_of
from graphmem.reader.values import Value

# Ranks that one tensor may have, and combinations of its readers' inputs, before nothing is said of it.
MAX_RANKS, MAX_COMBINATIONS = 4, 16


def options(type_: Type | None) -> tuple[Type | None, ...]:
    """The types, one for each rank, that a value of this type may have."""
    if not isinstance(type_, BoundedType) or not type_.others:
        return (type_,)
    return (_plain(type_.dtype, type_.low, type_.high), *type_.others)


def combinations(types: Sequence[Type | None]) -> list[tuple[Type | None, ...]]:
    """The inputs that a node may see, each of one rank; none where they would be too many."""
    found = list(product(*map(options, types)))
    return found if len(found) <= MAX_COMBINATIONS else []


def joined(types: Sequence[Type]) -> Type:
    """The type that holds whichever of `types` the run chooses."""
    first, *others = types
    for other in others:
        first = first if other == first else _joined(first, other)
    return first


def _joined(a: Type, b: Type) -> Type:
    if isinstance(a, SequenceType) and isinstance(b, SequenceType):
        if a.elements is None or b.elements is None or len(a.elements) != len(b.elements):
            return SequenceType(described_by([a.element, b.element]), None)
        return sequence_of([joined(pair) for pair in zip(a.elements, b.elements, strict=True)])
    if isinstance(a, OptionalType) and isinstance(b, OptionalType):
        return OptionalType(joined((a.element, b.element)), a.present if a.present == b.present else None)
    if not isinstance(a, TensorType | BoundedType) or not isinstance(b, TensorType | BoundedType):
        return described_by([a, b])
    return _of_ranks([*options(a), *options(b)]) if a.dtype == b.dtype else described_by([a, b])


def _of_ranks(found: Sequence[Type | None]) -> Type:
    """One type of tensors of one element type, the same ranks put together, the largest first."""
    ranks: dict[int, tuple[list[tuple[int, ...]], list[tuple[int, ...]]]] = {}
    dtype = ""
    for type_ in found:
        assert isinstance(type_, TensorType | BoundedType)
        dtype = type_.dtype
        low, high = (type_.shape, type_.shape) if isinstance(type_, TensorType) else (type_.low, type_.high)
        lows, highs = ranks.setdefault(len(high), ([], []))
        lows.append(low)
        highs.append(high)
    made = [
        _plain(dtype, tuple(map(min, zip(*lows, strict=True))), tuple(map(max, zip(*highs, strict=True))))
        for lows, highs in ranks.values()
    ]
    if len(made) == 1:
        return made[0]
    if len(made) > MAX_RANKS:
        return described_by(made)
    made.sort(key=lambda t: -_elements(t))
    low, high = (made[0].shape,) * 2 if isinstance(made[0], TensorType) else (made[0].low, made[0].high)
    return BoundedType(dtype, low, high, tuple(made[1:]))


def _plain(dtype: str, low: tuple[int, ...], high: tuple[int, ...]) -> TensorType | BoundedType:
    return TensorType(dtype, high) if low == high else BoundedType(dtype, low, high)


def _elements(type_: TensorType | BoundedType) -> int:
    return int(np.prod(type_.shape if isinstance(type_, TensorType) else type_.high, dtype=object))


def either(a: Value | None, b: Value | None) -> Value | None:
    """A value that is one of the two."""
    if a is None or b is None or a.low.shape != b.low.shape or a.low.dtype != b.low.dtype:
        return None
    if a.low.dtype.kind not in "iu":
        return a if a.is_exact and b.is_exact and a.low.tobytes() == b.low.tobytes() else None
    return Value(np.minimum(a.low, b.low), np.maximum(a.high, b.high))
