"""Path, ReadingOptions -> Graph and its batch: the leading dimension of the inputs, also where a file fixes another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from graphmem.ir.errors import OptionError
from graphmem.ir.graph import Graph
from graphmem.ir.options import ReadingOptions
from graphmem.ir.types import TensorType
from graphmem.reader import read


def read_at_batch(path: str | Path, reading: ReadingOptions) -> tuple[Graph, tuple[int, int] | None]:
    """As `read_with_batch`, of the file at `path`."""
    return read_with_batch(reading.batch, lambda batch=None: read_as(path, replace(reading, batch=batch)))


def read_as(path: str | Path, reading: ReadingOptions) -> Graph:
    """The graph of the file at `path`."""
    return read(
        path, reading.dims, reading.batch, reading.strict, reading.trips, reading.shapes,
        branches=reading.branches, inputs=reading.inputs,
    )  # fmt: skip


def read_with_batch(batch: int | None, reading: Callable[..., Graph]) -> tuple[Graph, tuple[int, int] | None]:
    """The graph, and where the file fixes another batch than is asked for, (that batch, the one asked for)."""
    try:
        return reading(batch=batch), None
    except OptionError:
        graph = reading()
        held = batch_of(graph)
        if batch is None or held is None:
            raise
        return graph, ((held, batch) if held != batch else None)


def batch_of(graph: Graph) -> int | None:
    """The leading dimension that all inputs share, or None."""
    shapes = [t.shape for name in graph.inputs if isinstance(t := graph.tensors[name].type, TensorType)]
    sizes = {shape[0] for shape in shapes if shape}
    return sizes.pop() if len(sizes) == 1 else None
