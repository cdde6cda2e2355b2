"""A program whose file fixes the batch -> the same program at another batch.

The leading dimension of every input is the batch. Shapes that follow from it are found again by the rules; those that
the file writes down (views, expansions, tensors made from nothing) are scaled where a multiple of the old batch stands
and the number of elements asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from graphmem.autograd.strides import Shape
from graphmem.autograd.tensor import Tensor
from graphmem.ir.program import Call, Given, Program
from graphmem.ir.types import TensorType

_VIEWS = ("aten.view", "aten.reshape", "aten._unsafe_view", "aten.flatten", "aten.unflatten")
_MADE = ("aten.zeros", "aten.ones", "aten.full", "aten.arange", "aten.new_", "aten.empty", "aten.rand", "aten.index")
_KEPT = ("aten.slice", "aten.topk", "aten.var", "aten.std")  # rules that read sizes of other dimensions only


def rebatched(program: Program, old: int, new: int) -> Program:
    """The program at batch `new` instead of `old`: other inputs and outputs; calls keep their types, see `wanted`."""
    given = tuple(_scaled_given(g, old, new) for g in program.given)
    output = program.output_type
    if output is not None and output.shape and output.shape[0] % old == 0:
        output = TensorType(output.dtype, (output.shape[0] // old * new, *output.shape[1:]))
    held = program.batch[0] if program.batch is not None else old
    return replace(program, given=given, output_type=output, batch=(held, new))


def _scaled_given(given: Given, old: int, new: int) -> Given:
    if given.role != "input" or not given.type.shape or given.type.shape[0] != old:
        return given
    return replace(given, type=TensorType(given.type.dtype, (new, *given.type.shape[1:])))


def wanted(call: Call, source: Tensor | None, old: int, new: int) -> tuple[Shape, ...]:
    """The shapes of the call's outputs at the new batch, as far as its rule needs to be told."""
    shapes = tuple(t.shape for t in call.types)
    if not shapes or call.target.startswith(_KEPT):
        return shapes
    if call.target.startswith(_VIEWS) and source is not None:
        return (_matching(shapes[0], source.elements, old, new),)
    if call.target.startswith("aten.expand") and source is not None:
        return (_expanded(shapes[0], source.shape, old, new),)
    if call.target.startswith(_MADE):
        return tuple(tuple(new if size == old else size for size in shape) for shape in shapes)
    if call.target.startswith(("aten.upsample", "aten._upsample")) and source is not None:
        return ((*source.shape[:2], *shapes[0][2:]),)
    return ()


def _matching(shape: Shape, elements: int, old: int, new: int) -> Shape:
    """The shape with its first dimension that is a multiple of the old batch scaled, when the elements ask for it."""
    for d, size in enumerate(shape):
        scaled = (*shape[:d], size // old * new, *shape[d + 1 :])
        if size % old == 0 and prod(shape) != elements and prod(scaled) == elements:
            return scaled
    return shape


def _expanded(shape: Shape, source: Sequence[int], old: int, new: int) -> Shape:
    lead = len(shape) - len(source)
    sizes = []
    for d, size in enumerate(shape):
        own = source[d - lead] if d >= lead else 1
        sizes.append(own if own != 1 else new if size == old and d == 0 else size)
    return tuple(sizes)
