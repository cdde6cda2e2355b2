"""RuntimeGraph: what ONNX Runtime executes, and what it knows of it before the first run.

graph.nodes    in the order in which they run
known          dimensions as ONNX Runtime has them at load: a number, a symbol, or None; a missing name has no rank
numbers        its numbers of values (OrtValueIndex), in whose order buffers are released after a node
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from graphmem.ir.graph import Graph, Issue
from graphmem.ir.types import Type

KnownDims: TypeAlias = "tuple[int | str | None, ...]"
Optimization: TypeAlias = Literal["off", "basic", "extended", "all"]
ExecutionOrder: TypeAlias = Literal["default", "priority"]
OPTIMIZATIONS: tuple[str, ...] = get_args(Optimization)
EXECUTION_ORDERS: tuple[str, ...] = get_args(ExecutionOrder)


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The session options that change what ONNX Runtime's CPU provider allocates; the defaults are its own."""

    optimization: str = "all"
    execution_order: str = "default"
    reuse: bool = True
    pattern: bool = True
    arena: bool = True


@dataclass(frozen=True, slots=True)
class RuntimeGraph:
    """A graph as ONNX Runtime executes it. `types` are the tensors' real types, by name, bodies included.

    `priority` are the positions in graph.nodes in the order of ExecutionOrder.PRIORITY_BASED.
    """

    graph: Graph
    known: Mapping[str, KnownDims]
    numbers: Mapping[str, int]
    version: str
    priority: tuple[int, ...] = ()
    issues: tuple[Issue, ...] = ()
    types: Mapping[str, Type] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Advice:
    """Something to change, in words and as code, and the peaks (bytes) predicted with it."""

    change: str
    code: str
    first_run_peak: int
    later_peak: int
    saving: int


@dataclass(frozen=True, slots=True)
class OnnxRuntimeMemory:
    """What ONNX Runtime's CPU provider allocates, inputs and weights not counted.

    `first_run_peak` is the first run's, `pattern_peak` that of later runs with the memory pattern on (None when off):
    its block, outputs, workspaces. `arena` are the bytes that the arena holds after two runs (None when off).
    """

    version: str
    is_known_version: bool
    options: SessionOptions
    first_run_peak: int
    pattern_peak: int | None
    arena: int | None
    advice: tuple[Advice, ...] = ()

    @property
    def later_peak(self) -> int:
        """Peak of every run but the first."""
        return self.first_run_peak if self.pattern_peak is None else self.pattern_peak
