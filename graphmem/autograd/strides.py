"""Shapes and strides as ATen computes them: views, dense layouts, and the layout of an element-wise result.

Strides count elements. Sources: c10/core/TensorImpl.cpp (contiguity, density), aten/src/ATen/TensorUtils.cpp
(computeStride), aten/src/ATen/ExpandUtils.cpp (infer_dense_strides), aten/src/ATen/TensorIterator.cpp
(reorder_dimensions).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TypeAlias

Shape: TypeAlias = tuple[int, ...]
Strides: TypeAlias = tuple[int, ...]
Layout: TypeAlias = tuple[Shape, Strides]


def contiguous(shape: Shape) -> Strides:
    """Row-major strides."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def is_contiguous(shape: Shape, strides: Strides) -> bool:
    """True for row-major strides; those of dimensions of size 1 do not matter."""
    step = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1:
            if stride != step:
                return False
            step *= size
    return True


def channels_last(shape: Shape) -> Strides:
    """Strides of [N, C, *spatial] with the channels innermost."""
    order = (0, *range(2, len(shape)), 1)
    return permuted_inverse(contiguous(tuple(shape[d] for d in order)), order)


def is_channels_last(shape: Shape, strides: Strides) -> bool:
    """True when `suggest_memory_format` says channels last (4 or 5 dimensions)."""
    if len(shape) not in (4, 5) or strides[1] == 0:
        return False
    least = 0
    for d in (1, *range(len(shape) - 1, 1, -1), 0):
        if shape[d] == 0 or strides[d] < least or (d == 0 and least == strides[1]):
            return False
        least = strides[d] * max(shape[d], 1) if shape[d] > 1 or d != 0 else strides[d]
    return True


def is_dense(shape: Shape, strides: Strides) -> bool:
    """True when the elements fill their memory without holes or overlap, in whatever order."""
    if any(size == 0 for size in shape):
        return True
    step = 1
    for stride, size in sorted((st, si) for st, si in zip(strides, shape, strict=True) if si > 1):
        if stride != step:
            return False
        step *= size
    return True


def permuted_inverse(values: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    """values[i] moved to position order[i]."""
    out = [0] * len(values)
    for value, position in zip(values, order, strict=True):
        out[position] = value
    return tuple(out)


def like(shape: Shape, strides: Strides) -> Strides:
    """Strides of `empty_like`: the same when dense, else dense in the order of the strides."""
    if is_dense(shape, strides):
        return strides
    return pointwise(shape, [(shape, strides)])


def viewed(shape: Shape, strides: Strides, target: Shape) -> Strides | None:
    """Strides of the same memory as `target`, or None when that needs a copy."""
    if prod(shape) == 0:
        return contiguous(target)
    if not shape:
        return (1,) * len(target)
    out = [0] * len(target)
    view_d = len(target) - 1
    base, elements, view_elements = strides[-1], 1, 1
    for d in range(len(shape) - 1, -1, -1):
        elements *= shape[d]
        if d == 0 or (shape[d - 1] != 1 and strides[d - 1] != elements * base):
            while view_d >= 0 and (view_elements < elements or target[view_d] == 1):
                out[view_d] = view_elements * base
                view_elements *= target[view_d]
                view_d -= 1
            if view_elements != elements:
                return None
            if d > 0:
                base, elements, view_elements = strides[d - 1], 1, 1
    return tuple(out) if view_d == -1 else None


def broadcast(*shapes: Shape) -> Shape:
    """The common shape."""
    rank = max(map(len, shapes), default=0)
    out = [1] * rank
    for shape in shapes:
        for i, size in enumerate(shape, rank - len(shape)):
            if size != 1:
                out[i] = size
    return tuple(out)


def expanded(shape: Shape, strides: Strides, target: Shape) -> Strides:
    """Strides of the same memory seen under a broadcast shape: 0 where a dimension is repeated."""
    lead = len(target) - len(shape)
    kept = (
        0 if size == 1 and target[lead + i] != 1 else stride
        for i, (size, stride) in enumerate(zip(shape, strides, strict=True))
    )
    inner = tuple(kept)
    outer: list[int] = []
    step = inner[0] * shape[0] if shape else 1
    for size in reversed(target[:lead]):
        outer.append(0 if size != 1 else step)
    return (*reversed(outer), *inner)


def pointwise(shape: Shape, operands: Sequence[Layout]) -> Strides:
    """Strides that TensorIterator gives a new output: those of the operands, the first to differ decides."""
    full = [o for o in operands if o[0] == shape]
    if len(full) == len(operands) and full:
        if all(is_contiguous(*o) for o in full):
            return contiguous(shape)
        if is_dense(*full[0]) and all(o[1] == full[0][1] for o in full):
            return full[0][1]
    rows = [_operand_strides(shape, o) for o in operands]
    order = list(range(len(shape) - 1, -1, -1))
    for i in range(1, len(order)):
        upper = i
        for lower in range(i - 1, -1, -1):
            verdict = _compare(shape, rows, order[lower], order[upper])
            if verdict > 0:
                order[lower], order[upper] = order[upper], order[lower]
                upper = lower
            elif verdict < 0:
                break
    strides, step = [0] * len(shape), 1
    for d in order:
        strides[d] = step
        step *= max(shape[d], 1)
    return tuple(strides)


def _operand_strides(shape: Shape, operand: Layout) -> Strides:
    sizes, strides = operand
    lead = len(shape) - len(sizes)
    inner = (
        0 if size == 1 and shape[lead + i] != 1 else stride
        for i, (size, stride) in enumerate(zip(sizes, strides, strict=True))
    )
    return ((0,) * lead) + tuple(inner)


def _compare(shape: Shape, rows: Sequence[Strides], dim0: int, dim1: int) -> int:
    for row in rows:
        if row[dim0] == 0 or row[dim1] == 0:
            continue
        if row[dim0] != row[dim1]:
            return -1 if row[dim0] < row[dim1] else 1
        if shape[dim0] > shape[dim1]:
            return 1
    return 0
