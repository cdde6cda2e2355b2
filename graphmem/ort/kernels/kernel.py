"""One node as ONNX Runtime's kernel sees it, and how its allocations are rounded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

from graphmem.ir.types import Shape, TensorType

ALIGNMENT = 64  # kAllocAlignment
FLOAT = 4
POINTER = 8


@dataclass(frozen=True, slots=True)
class Kernel:
    """One node as its workspace depends on it; None stands for an omitted or unknown input or output.

    `constant` are the positions of inputs that are weights, `values` the small ones of those that are known.
    """

    op_type: str
    inputs: Sequence[TensorType | None]
    outputs: Sequence[TensorType | None]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    opset: int = 0
    constant: frozenset[int] = frozenset()
    values: Mapping[int, Any] = field(default_factory=dict)

    def input(self, position: int) -> TensorType:
        """Type of an input; KeyError when it is not known."""
        return _known(self.inputs, position)

    def output(self, position: int) -> TensorType:
        """Type of an output; KeyError when it is not known."""
        return _known(self.outputs, position)

    def has_input(self, position: int) -> bool:
        """True when the optional input is given."""
        return position < len(self.inputs) and self.inputs[position] is not None

    def has_output(self, position: int) -> bool:
        """True when the optional output is asked for."""
        return position < len(self.outputs) and self.outputs[position] is not None

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        return int(self.attributes.get(name, default))


def _known(types: Sequence[TensorType | None], position: int) -> TensorType:
    found = types[position] if position < len(types) else None
    if found is None:
        raise KeyError(position)
    return found


# Bytes of a kernel's workspaces that are alive together: one figure, or one for each where the arena should know.
Sizes: TypeAlias = "int | tuple[int, ...]"
Rule: TypeAlias = Callable[[Kernel], Sizes]
Rules: TypeAlias = Mapping[tuple[str, str], Rule]


def aligned(nbytes: int) -> int:
    """Bytes rounded up to ONNX Runtime's 64-byte alignment."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def floats(*dims: int) -> int:
    """Bytes of a float32 buffer of these dimensions."""
    return aligned(FLOAT * prod(dims))


def broadcast(a: Shape, b: Shape) -> Shape:
    """The shape that numpy's broadcasting gives."""
    rank = max(len(a), len(b))
    rows = zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True)
    return tuple(y if x == 1 else x for x, y in rows)
