"""Operators on sequences and optionals: which elements the result holds, each with its own type.

ONNX's own inference knows one type for all elements and no length. Source: the operators' specifications (onnx/docs).
"""

from __future__ import annotations

from collections.abc import Sequence

from graphmem.ir.types import BoundedType, OptionalType, SequenceType, TensorType, Type, UnknownType
from graphmem.reader.protos import dtype_of, type_of
from graphmem.reader.rules.call import Call, OpenError, Table

# Sequences of more elements are known by one type for all, and by no length.
MAX_ELEMENTS = 1_024


def sequence_of(elements: Sequence[Type]) -> SequenceType:
    """A sequence of exactly these elements, as long as they are few."""
    return SequenceType(described_by(elements), tuple(elements) if len(elements) <= MAX_ELEMENTS else None)


def described_by(elements: Sequence[Type]) -> Type:
    """The type that each of the elements has: theirs if they agree, else what they have in common."""
    first = elements[0] if elements else UnknownType()
    for other in elements[1:]:
        first = _common(first, other)
    return first


def _common(a: Type, b: Type) -> Type:
    if a == b:
        return a
    if not isinstance(a, TensorType | BoundedType | UnknownType):
        return UnknownType()
    if not isinstance(b, TensorType | BoundedType | UnknownType):
        return UnknownType()
    dtype = a.dtype if a.dtype == b.dtype else None
    dims_a, dims_b = dims_of(a), dims_of(b)
    if dims_a is None or dims_b is None or len(dims_a) != len(dims_b):
        return UnknownType(dtype)
    return UnknownType(dtype, tuple(m if m == n else None for m, n in zip(dims_a, dims_b, strict=True)))


def dims_of(type_: Type) -> tuple[int | None, ...] | None:
    """The dimensions as far as they are known; None without a rank, or for what is no tensor."""
    if isinstance(type_, TensorType):
        return type_.shape
    if isinstance(type_, BoundedType):
        return (
            None if type_.others else tuple(a if a == b else None for a, b in zip(type_.low, type_.high, strict=True))
        )
    return type_.dims if isinstance(type_, UnknownType) else None


def _sequence(call: Call, position: int = 0) -> SequenceType:
    found = call.types[position]
    if not isinstance(found, SequenceType):
        raise OpenError(f"input {position} is no sequence")
    return found


def _construct(call: Call) -> list[Type]:
    return [sequence_of([_given(type_) for type_ in call.types])]


def _given(type_: Type | None) -> Type:
    return UnknownType() if type_ is None else type_


def _empty(call: Call) -> list[Type]:
    dtype = dtype_of(call.int_("dtype", 1), "SequenceEmpty")
    return [SequenceType(UnknownType(dtype), ())]


def _insert(call: Call) -> list[Type]:
    before, added = _sequence(call), _given(call.types[1])
    if before.elements is None:
        return [SequenceType(_common(before.element, added), None)]
    if not call.has(2):
        return [sequence_of([*before.elements, added])]
    try:
        position = call.scalar(2)
    except OpenError:
        if all(element == added for element in before.elements):
            return [sequence_of([*before.elements, added])]
        raise
    elements = list(before.elements)
    elements.insert(position if position >= 0 else len(elements) + position, added)
    return [sequence_of(elements)]


def _erase(call: Call) -> list[Type]:
    before = _sequence(call)
    if before.elements is None:
        return [before]
    if call.has(1) and len(set(before.elements)) == 1:
        return [sequence_of(before.elements[1:])]
    elements = list(before.elements)
    del elements[call.scalar(1) if call.has(1) else -1]
    return [sequence_of(elements)]


def _at(call: Call) -> list[Type]:
    before = _sequence(call)
    if before.elements is None or len(set(before.elements)) == 1:
        return [before.element]
    try:
        return [before.elements[call.scalar(1)]]
    except OpenError:
        return [described_by(before.elements)]


def _length(_: Call) -> list[Type]:
    return [TensorType("int64", ())]


def _split(call: Call) -> list[Type]:
    data = call.tensor(0)
    axis = call.int_("axis", 0)
    if not -len(data.shape) <= axis < len(data.shape):
        raise OpenError("axis")
    axis %= len(data.shape)
    size, squeezes = data.shape[axis], False
    if call.has(1) and (call.values[1] is None or not call.values[1].is_exact):
        return [_split_unknown(call, data, axis)]
    if size > MAX_ELEMENTS and not (call.has(1) and call.array(1).ndim):
        return [SequenceType(UnknownType(data.dtype), None, data)]
    if not call.has(1):
        parts, squeezes = [1] * size, not call.int_("keepdims", 1)
    elif call.array(1).ndim:
        parts = [int(n) for n in call.array(1).tolist()]
    else:
        each = call.scalar(1)
        if each < 1:
            raise OpenError("split")
        parts = [each] * (size // each) + ([size % each] if size % each else [])
        # the text ignores keepdims where a split is given; onnxruntime does not where every part has one element
        squeezes = set(parts) == {1} and not call.int_("keepdims", 1)
    if sum(parts) != size or any(n < 0 for n in parts):
        raise OpenError("split")
    return [sequence_of([TensorType(data.dtype, _resized(data.shape, axis, n, squeezes)) for n in parts])]


def _split_unknown(call: Call, data: TensorType, axis: int) -> Type:
    """Parts whose sizes are not known, or not in the file: each at most the whole, together as much."""
    low = tuple(0 if i == axis else n for i, n in enumerate(data.shape))
    part = BoundedType(data.dtype, low, data.shape) if data.shape[axis] else data
    sizes = call.shape(1)
    few = len(sizes) == 1 and sizes[0] <= MAX_ELEMENTS
    return SequenceType(part, (part,) * sizes[0] if few else None, data)


def _resized(shape: tuple[int, ...], axis: int, size: int, squeezes: bool) -> tuple[int, ...]:
    return (*shape[:axis], *(() if squeezes else (size,)), *shape[axis + 1 :])


def _concat(call: Call) -> list[Type]:
    elements = _sequence(call).elements
    axis = call.int_("axis")
    tensors = [element for element in elements or () if isinstance(element, TensorType)]
    if not elements or len(tensors) != len(elements):
        raise OpenError("elements")
    first = tensors[0].shape
    if call.int_("new_axis", 0):
        axis = axis if axis >= 0 else axis + len(first) + 1
        if any(t.shape != first for t in tensors) or not 0 <= axis <= len(first):
            raise OpenError("shapes differ")
        return [TensorType(tensors[0].dtype, (*first[:axis], len(tensors), *first[axis:]))]
    axis = axis if axis >= 0 else axis + len(first)
    rests = {(*t.shape[:axis], *t.shape[axis + 1 :]) for t in tensors}
    if len(rests) != 1 or not 0 <= axis < len(first):
        raise OpenError("shapes differ")
    total = sum(t.shape[axis] for t in tensors)
    return [TensorType(tensors[0].dtype, (*first[:axis], total, *first[axis + 1 :]))]


def _optional(call: Call) -> list[Type]:
    if call.has(0):
        return [OptionalType(_given(call.types[0]), True)]
    stated = next((a.tp for a in call.node.attribute if a.name == "type"), None)
    return [OptionalType(UnknownType() if stated is None else type_of(stated, "Optional"), False)]


def _has_element(_: Call) -> list[Type]:
    return [TensorType("bool", ())]


def _get_element(call: Call) -> list[Type]:
    found = _given(call.types[0])
    return [found.element if isinstance(found, OptionalType) else found]


def _identity(call: Call) -> list[Type]:
    return [_given(call.types[0])]


RULES: Table = {
    "ConcatFromSequence": _concat,
    "Identity": _identity,
    "Optional": _optional,
    "OptionalGetElement": _get_element,
    "OptionalHasElement": _has_element,
    "SequenceAt": _at,
    "SequenceConstruct": _construct,
    "SequenceEmpty": _empty,
    "SequenceErase": _erase,
    "SequenceInsert": _insert,
    "SequenceLength": _length,
    "SplitToSequence": _split,
}
