"""A call and the dimensions that its operands are cut in -> the dimensions that its outputs are cut in.

`Cut` is what is known so far: name -> dimension, each rank holding 1/W of it. A rule returns the dimension of every
output, and may say that an operand has to be cut too (NeedsError) or that it cannot be done (StuckError).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from graphmem.autograd.strides import Shape
from graphmem.ir.program import Call, Ref


class StuckError(Exception):
    """The reason why a cut cannot pass a call."""


class NeedsError(Exception):
    """An operand, by name, that has to be cut in the same dimension first."""


@dataclass(frozen=True, slots=True)
class Cut:
    """`shapes` are the whole ones, of all values; `parts` is W."""

    dims: Mapping[str, int]
    shapes: Mapping[str, Shape]
    parts: int

    def of(self, arg: Any) -> int | None:
        """The dimension that an argument is cut in."""
        return self.dims.get(arg.name) if isinstance(arg, Ref) else None

    def shape(self, arg: Any) -> Shape:
        """The whole shape of an argument."""
        return self.shapes[arg.name]


Rule = Callable[[Call, Cut], int]
ELEMENTWISE = frozenset((
    "add", "sub", "rsub", "mul", "div", "pow", "gelu", "relu", "silu", "tanh", "sigmoid", "dropout", "native_dropout",
    "clone", "contiguous", "_to_copy", "to", "neg", "exp", "sqrt", "rsqrt", "where", "masked_fill", "maximum",
    "minimum", "abs", "alias", "detach", "hardswish", "leaky_relu", "elu", "mish", "clamp", "erf", "square", "type_as",
    "reciprocal", "hardtanh", "convert_element_type",
))  # fmt: skip


STATED = ("view", "reshape", "_unsafe_view", "flatten", "unflatten", "expand", "slice")  # shapes that the file writes


def base(target: str) -> str:
    """`linear` of `aten.linear.default`."""
    return target.split(".")[1] if "." in target else target


def passed(call: Call, cut: Cut) -> int:
    """The dimension in which every output of the call is cut. Raises StuckError or NeedsError."""
    name = base(call.target)
    rule = RULES.get(name, _elementwise if name in ELEMENTWISE else None)
    if name in STATED and not call.types:
        raise StuckError(f"{call.target} without a stated shape")
    if rule is None:
        raise StuckError(f"{call.target} is not followed")
    return rule(call, cut)


def _tensors(call: Call) -> list[Ref]:
    found: list[Ref] = []
    for arg in (*call.args, *call.kwargs.values()):
        found += [a for a in (arg if isinstance(arg, list | tuple) else [arg]) if isinstance(a, Ref)]
    return found


def _elementwise(call: Call, cut: Cut) -> int:
    """Counted from the right, as broadcasting does; an operand of size 1 there, or without it, may stay whole."""
    rank = max(len(cut.shape(ref)) for ref in _tensors(call))
    ends = {len(cut.shape(ref)) - dim for ref in _tensors(call) if (dim := cut.of(ref)) is not None}
    if len(ends) != 1:
        raise StuckError(f"{call.target} of operands that are cut in different dimensions")
    end = ends.pop()
    for ref in _tensors(call):
        shape = cut.shape(ref)
        if cut.of(ref) is None and len(shape) >= end and shape[-end] != 1:
            raise NeedsError(ref.name)
    return rank - end


def _softmax(call: Call, cut: Cut) -> int:
    dim, rank = cut.of(call.args[0]), len(cut.shape(call.args[0]))
    if dim is None or (isinstance(call.args[1], int) and call.args[1] % rank == dim):
        raise StuckError(f"{call.target} over the dimension that is cut")
    return dim


def _view(call: Call, cut: Cut) -> int:
    dim = _own(call, cut)
    found = viewed(cut.shape(call.args[0]), cut.shapes[call.outputs[0]], dim, cut.parts)
    if found is None:
        sizes = f"{list(cut.shape(call.args[0]))} to {list(cut.shapes[call.outputs[0]])}"
        raise StuckError(f"{call.target} of {sizes} cannot be cut into {cut.parts}")
    return found


def viewed(before: Shape, after: Shape, dim: int, parts: int) -> int | None:
    """Where a cut dimension is after a view: dimensions that multiply to the same are matched, the left ones first."""
    i = j = 0
    while i < len(before) and j < len(after):
        first, start = i, j
        left, right = before[i], after[j]
        while left != right:
            if left < right and i + 1 < len(before):
                i += 1
                left *= before[i]
            elif right < left and j + 1 < len(after):
                j += 1
                right *= after[j]
            else:
                return None
        if first <= dim <= i:
            return _within(before[first : dim + 1], after[start : j + 1], start, i == first, parts)
        i, j = i + 1, j + 1
    return None


def _within(before: Shape, after: Shape, start: int, is_split: bool, parts: int) -> int | None:
    """`before` ends with the cut dimension; one that is split is cut in its heads, past a leading 3 of q, k and v."""
    lead = prod(before[:-1])
    if is_split:
        at = 1 if len(after) > 2 and after[0] == 3 else 0
        while at < len(after) - 1 and after[at] == 1:
            at += 1
        return start + at if after[at] % parts == 0 else None
    if len(after) == 1:
        return start if after[0] % parts == 0 else None
    for at in range(len(after)):
        if prod(after[:at]) == lead and after[at] % parts == 0 and after[at] > 1:
            return start + at
    return None


def _own(call: Call, cut: Cut) -> int:
    dim = cut.of(call.args[0])
    if dim is None:
        raise StuckError(f"{call.target} of a whole tensor")
    return dim


def _transpose(call: Call, cut: Cut) -> int:
    dim, rank = _own(call, cut), len(cut.shape(call.args[0]))
    a, b = (call.args[1] % rank, call.args[2] % rank) if len(call.args) > 2 else (rank - 1, rank - 2)
    return b if dim == a else a if dim == b else dim


def _permute(call: Call, cut: Cut) -> int:
    dim, rank = _own(call, cut), len(cut.shape(call.args[0]))
    order: list[int] = [d % rank for d in call.args[1]]
    return order.index(dim)


def _unsqueeze(call: Call, cut: Cut) -> int:
    dim, rank = _own(call, cut), len(cut.shape(call.args[0]))
    at: int = call.args[1] % (rank + 1)
    return dim + (at <= dim)


def _expand(call: Call, cut: Cut) -> int:
    return _own(call, cut) + len(cut.shapes[call.outputs[0]]) - len(cut.shape(call.args[0]))


def _select(call: Call, cut: Cut) -> int:
    dim, rank = _own(call, cut), len(cut.shape(call.args[0]))
    gone = (call.args[1] if len(call.args) > 1 else 0) % rank
    if gone == dim:
        raise StuckError(f"{call.target} takes the dimension apart that is cut")
    return dim - (gone < dim)


def _split(call: Call, cut: Cut) -> int:
    """Pieces of the cut dimension are cut each, as fused projections are."""
    dim = _own(call, cut)
    sizes = [cut.shapes[name][dim] for name in call.outputs if name in cut.shapes]
    if any(size % cut.parts for size in sizes):
        raise StuckError(f"pieces of {sizes} cannot be cut into {cut.parts}")
    return dim


def _cat(call: Call, cut: Cut) -> int:
    pieces = [a for a in call.args[0] if isinstance(a, Ref)]
    dims = {cut.of(piece) for piece in pieces}
    if None in dims:
        raise NeedsError(next(p.name for p in pieces if cut.of(p) is None))
    if len(dims) != 1:
        raise StuckError(f"{call.target} of operands that are cut in different dimensions")
    return next(d for d in dims if d is not None)


def _product(call: Call, cut: Cut) -> int:
    """Products of cut heads: a dimension before the last two, of both sides."""
    x, y = call.args[0], call.args[1]
    ends = {len(cut.shape(ref)) - dim for ref in (x, y) if (dim := cut.of(ref)) is not None}
    if len(ends) != 1 or min(ends) <= 2:
        raise StuckError(f"{call.target} over the dimension that is cut")
    end = ends.pop()
    for ref in (x, y):
        if cut.of(ref) is None and len(cut.shape(ref)) >= end and cut.shape(ref)[-end] != 1:
            raise NeedsError(ref.name)
    return len(cut.shapes[call.outputs[0]]) - end


def _attention(call: Call, cut: Cut) -> int:
    """Heads are the dimension before the last two."""
    for i, ref in enumerate(ref for ref in _tensors(call)):
        shape, dim = cut.shape(ref), cut.of(ref)
        if dim is None and len(shape) >= 3 and shape[-3] != 1:
            raise NeedsError(ref.name)
        if dim is not None and dim != len(shape) - 3:
            raise StuckError(f"attention that is not cut by heads (operand {i})")
    return len(cut.shapes[call.outputs[0]]) - 3


RULES: dict[str, Rule] = {
    "softmax": _softmax, "_softmax": _softmax,
    "view": _view, "reshape": _view, "_unsafe_view": _view, "flatten": _view, "unflatten": _view,
    "transpose": _transpose, "t": _transpose, "permute": _permute, "unsqueeze": _unsqueeze,
    "expand": _expand, "select": _select, "unbind": _select,
    "split": _split, "chunk": _split, "split_with_sizes": _split, "tensor_split": _split, "slice": _split,
    "cat": _cat, "matmul": _product, "bmm": _product,
    "scaled_dot_product_attention": _attention,
}  # fmt: skip
