"""Names: what is known of the tensors of one graph, and through it of the graphs around it."""

from __future__ import annotations

from dataclasses import dataclass, field

import onnx

from graphmem.ir.graph import Tensor
from graphmem.reader.values import Value


@dataclass(slots=True)
class Names:
    """What is known so far of the names of one graph; `outer` are those of the graphs around it."""

    outer: Names | None = None
    tensors: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    makers: dict[str, onnx.NodeProto] = field(default_factory=dict)
    origins: dict[str, frozenset[str]] = field(default_factory=dict)  # as far as they were asked for

    def tensor(self, name: str) -> Tensor | None:
        """The tensor of that name, here or further out."""
        found = self.tensors.get(name)
        return found if found is not None or self.outer is None else self.outer.tensor(name)

    def value(self, name: str) -> Value | None:
        """The value of that name, here or further out."""
        if name in self.tensors or self.outer is None:
            return self.values.get(name)
        return self.outer.value(name)

    def maker(self, name: str) -> onnx.NodeProto | None:
        """The node that writes the name, here or further out."""
        if name in self.tensors or self.outer is None:
            return self.makers.get(name)
        return self.outer.maker(name)

    def __contains__(self, name: object) -> bool:
        return name in self.tensors or (self.outer is not None and name in self.outer)
