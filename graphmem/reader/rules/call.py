"""Call: one node as a shape rule sees it, with accessors that give up where a fact is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import onnx

from graphmem.ir.types import Shape, TensorType, Type
from graphmem.reader.values import Array, Value


class OpenError(Exception):
    """A fact that the rule needs is not known, or the inputs are none that the operator's specification allows."""


@dataclass(frozen=True, slots=True)
class Call:
    """`types` and `values` follow node.input, None for an omitted one; `opset` is that of the operator's domain."""

    node: onnx.NodeProto
    types: Sequence[Type | None]
    values: Sequence[Value | None]
    attributes: Mapping[str, Any]
    opset: int

    def has(self, position: int) -> bool:
        """True when the input is given."""
        return position < len(self.types) and self.types[position] is not None

    def tensor(self, position: int) -> TensorType:
        """The exact type of an input; OpenError otherwise."""
        found = self.types[position] if position < len(self.types) else None
        if not isinstance(found, TensorType):
            raise OpenError(f"input {position}")
        return found

    def shape(self, position: int, rank: int | None = None) -> Shape:
        """The shape of an input, of that rank."""
        found = self.tensor(position).shape
        if rank is not None and len(found) != rank:
            raise OpenError(f"input {position} has rank {len(found)}, not {rank}")
        return found

    def dtype(self, position: int) -> str:
        """The element type of an input."""
        return self.tensor(position).dtype

    def array(self, position: int) -> Array:
        """The value of an input, exactly known."""
        found = self.values[position] if position < len(self.values) else None
        if found is None or not found.is_exact:
            raise OpenError(f"value of input {position}")
        return found.low

    def scalar(self, position: int) -> int:
        """The one integer that an input holds."""
        array = self.array(position)
        if array.size != 1 or array.dtype.kind not in "iub":
            raise OpenError(f"input {position} is no integer")
        return int(array.reshape(-1)[0])

    def int_(self, name: str, default: int | None = None) -> int:
        """An integer attribute."""
        found = self.attributes.get(name, default)
        if not isinstance(found, int):
            raise OpenError(f"attribute {name}")
        return found

    def ints(self, name: str, default: Sequence[int] | None = None) -> tuple[int, ...]:
        """A list of integers."""
        found = self.attributes.get(name, default)
        if not isinstance(found, tuple | list) or not all(isinstance(n, int) for n in found):
            raise OpenError(f"attribute {name}")
        return tuple(found)

    def text(self, name: str, default: str = "") -> str:
        """A string attribute."""
        found = self.attributes.get(name, default)
        if not isinstance(found, str):
            raise OpenError(f"attribute {name}")
        return found


# The types of the outputs, in order; outputs past the end of the list are unknown.
Rule: TypeAlias = Callable[[Call], "Sequence[Type]"]
Table: TypeAlias = Mapping[str, Rule]
