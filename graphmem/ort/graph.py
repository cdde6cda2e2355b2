"""Model file -> RuntimeGraph: let ONNX Runtime optimize it, nothing being run, and type what comes out.

FIRST and LAST are the versions of onnxruntime whose memory planner the rules were compared with, byte by byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from graphmem.ir.graph import Graph, Issue
from graphmem.ir.runtime import RuntimeGraph, SessionOptions
from graphmem.ir.types import Shape, TensorType, Type, UnknownType
from graphmem.measure.optimized import optimized
from graphmem.ort.kernels.workspace import has_known_workspace
from graphmem.reader import read
from graphmem.reader.load import parsed

FIRST, LAST = (1, 31), (1, 31)  # major and minor, both included; see tests/oracle/test_onnxruntime_truth.py


def is_known(version: str) -> bool:
    """True when the rules were checked against this version."""
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    return FIRST <= parts <= LAST


def supported() -> str:
    """The range in words."""
    first, last = (".".join(map(str, version)) for version in (FIRST, LAST))
    return first if first == last else f"{first} to {last}"


@dataclass(frozen=True, slots=True)
class Source:
    """A model file as it is given to ONNX Runtime: the file, the shapes of its inputs, and its graph as written."""

    path: Path
    folder: Path  # of its external weights
    inputs: dict[str, Shape]
    graph: Graph

    @classmethod
    def of(cls, path: Path, graph: Graph) -> Source:
        """The file at `path`, which was read as `graph`."""
        types = {name: graph.tensors[name].type for name in graph.inputs}
        return cls(path, path.parent, {name: t.shape for name, t in types.items() if isinstance(t, TensorType)}, graph)

    @property
    def model(self) -> bytes:
        """The serialized ModelProto, without external weights."""
        data: bytes = parsed(self.path).SerializeToString()
        return data


def runtime_graph(source: Source, options: SessionOptions) -> RuntimeGraph:
    """What ONNX Runtime executes of the model under these options."""
    known = {name: t.type for name, t in source.graph.tensors.items() if isinstance(t.type, TensorType)}
    with TemporaryDirectory(prefix="graphmem-") as scratch:
        made = optimized(source.model, source.folder, source.inputs, known, options, Path(scratch))
        graph = read(made.path, is_onnxruntime=True)
    graph = _with_known_types(graph, source.graph)
    priority = made.priority
    if made.is_as_written and options.optimization != "off":
        graph, priority = _folded(graph, priority)
    issues = (
        *_inherited(source.graph),
        *graph.issues,
        *made.issues,
        *_control_flow(graph),
        *_unknown_workspaces(graph),
        *_version_note(made.version),
    )
    types = _all_types(graph, {})
    return RuntimeGraph(graph, made.known, made.numbers, made.version, priority, issues, types)


def _with_known_types(graph: Graph, original: Graph) -> Graph:
    """Where the optimized graph leaves a type open, that of the same name in the original one."""
    tensors = dict(graph.tensors)
    for name, tensor in graph.tensors.items():
        if isinstance(tensor.type, UnknownType) and name in original.tensors:
            tensors[name] = replace(tensor, type=original.tensors[name].type)
    settled = {
        name for name, t in tensors.items() if t is not graph.tensors[name] and not isinstance(t.type, UnknownType)
    }
    issues = tuple(
        issue for issue in graph.issues if not any(issue.what.startswith(f"'{name}' has no known") for name in settled)
    )
    return replace(graph, tensors=tensors, issues=issues)


def _folded(graph: Graph, priority: tuple[int, ...]) -> tuple[Graph, tuple[int, ...]]:
    """The graph without the nodes that constant folding removes, and its other order."""
    kept = [i for i, node in enumerate(graph.nodes) if not graph.is_weight(node)]
    place = {old: new for new, old in enumerate(kept)}
    nodes = tuple(graph.nodes[i] for i in kept)
    return replace(graph, nodes=nodes), tuple(place[i] for i in priority if i in place)


def _inherited(original: Graph) -> tuple[Issue, ...]:
    """What was assumed of the inputs; issues of single tensors come from the optimized graph."""
    return tuple(issue for issue in original.issues if issue.effect == "exact")


def _control_flow(graph: Graph) -> Iterator[Issue]:
    """What is not known of nodes with bodies before the run."""
    for node in graph.nodes:
        where = f"node '{node.name or node.outputs[0]}' ({node.op_type})"
        if node.standard_type == "If":
            yield Issue("data-dependent", where, "the data decides which branch runs; the larger one is counted")
        elif node.bodies:
            yield Issue("unknown-shape", where, "one turn of the body is counted; what turns carry over is not")


def _unknown_workspaces(graph: Graph) -> Iterator[Issue]:
    """The operators whose kernels may need more than is counted, once each."""
    nodes = (node for inner in graph.with_bodies for node in inner.nodes if not has_known_workspace(node))
    for (domain, op_type), count in sorted(Counter((node.domain, node.op_type) for node in nodes).items()):
        name = f"{domain}.{op_type}" if domain else op_type
        what = f"what the kernel allocates for itself is not known and counts 0 ({count} node{'s' * (count > 1)})"
        yield Issue("unknown-workspace", f"operator {name}", what)


def _version_note(version: str) -> tuple[Issue, ...]:
    if is_known(version):
        return ()
    what = f"version {version} was never compared with the rules, which are those of {supported()}"
    return (Issue("assumption", "onnxruntime", what),)


def _all_types(graph: Graph, found: dict[str, Type]) -> dict[str, Type]:
    for name, tensor in graph.tensors.items():
        found.setdefault(name, tensor.type)
    for node in graph.nodes:
        for _, body in node.bodies:
            _all_types(body, found)
    return found
