"""Storage, Tensor and Node: what the simulated engine handles; reference counts are explicit.

Tensor (shape, strides) --refs--> Storage (bytes)      a storage is freed when its last tensor is
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

from graphmem.autograd.strides import Layout, Shape, Strides, is_contiguous, is_dense
from graphmem.ir.errors import MisfitError
from graphmem.ir.types import BITS


def itemsize(dtype: str) -> int:
    """Bytes of one element in torch, which packs nothing below a byte."""
    if dtype not in BITS:
        raise MisfitError(f"PyTorch has no tensors of {dtype}")
    return max(BITS[dtype], 8) // 8


def is_floating(dtype: str) -> bool:
    """True for types that can carry a gradient."""
    return "float" in dtype or "complex" in dtype


@dataclass(slots=True, eq=False)
class Storage:
    """One allocation; `refs` counts the tensors on it."""

    number: int
    nbytes: int
    refs: int = 0


@dataclass(slots=True, eq=False)
class Tensor:
    """A view of a storage; `refs` counts its handles. `node` made it, unless it is a leaf or needs no gradient."""

    storage: Storage
    shape: Shape
    strides: Strides
    dtype: str
    refs: int = 1
    requires_grad: bool = False
    node: Node | None = None
    output: int = 0
    name: str = ""
    grad: Tensor | None = None
    is_view: bool = False  # torch's views keep their base alive, so they never own their storage alone

    @property
    def layout(self) -> Layout:
        """Shape and strides."""
        return self.shape, self.strides

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements; the storage may hold more."""
        return self.elements * itemsize(self.dtype)

    @property
    def is_contiguous(self) -> bool:
        """True for row-major strides."""
        return is_contiguous(self.shape, self.strides)

    @property
    def is_dense(self) -> bool:
        """True without holes and overlaps."""
        return is_dense(self.shape, self.strides)

    @property
    def is_float(self) -> bool:
        """True when it can carry a gradient."""
        return is_floating(self.dtype)


Grads: TypeAlias = Sequence["Tensor | None"]
Backward: TypeAlias = Callable[..., "Tensor | Sequence[Tensor | None] | None"]
Edge: TypeAlias = "tuple[Node, int] | None"


@dataclass(slots=True, eq=False)
class Node:
    """A function of the backward graph. `edges` lead to the nodes of its forward inputs, `shapes` are theirs.

    `variable` is set on the accumulator of a leaf.
    """

    name: str
    sequence: int
    edges: tuple[Edge, ...]
    metas: tuple[tuple[Shape, str], ...]
    backward: Backward | None
    saved: list[Tensor] = field(default_factory=list)
    outputs: int = 1
    variable: Tensor | None = None
    origin: Any = None
    released: bool = False
    frame: Any = None  # of the checkpointed call that it was made in, when it saved anything
    holders: tuple[int, int] = (0, 0)  # the first of the frame's holders that are its own, and how many

    def needs(self, i: int) -> bool:
        """True when the gradient of the i-th forward input is wanted."""
        return self.edges[i] is not None
