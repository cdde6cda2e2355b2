"""ModelProto -> the graph that ONNX Runtime makes of it, with the shapes that its memory planner goes by.

A model too large for it to save is taken as written, in its order; nothing of onnxruntime is used then. Shapes known at
load are those of plain shape inference, which is close to its own but not the same; the order is that of
`ORT_DISABLE_ALL`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from graphmem.ir.graph import Issue
from graphmem.ir.runtime import KnownDims, SessionOptions
from graphmem.ir.types import Shape, TensorType
from graphmem.measure.ort_format import unpacked
from graphmem.measure.prepare import Runnable, runnable, weight_bytes
from graphmem.measure.process import Limits, ask
from graphmem.measure.rewrite import Call, execution_order


@dataclass(slots=True)
class Plain:
    """As measure.ort_format.Unpacked."""

    model: bytes = b""
    priority: tuple[int, ...] = ()
    known: dict[str, KnownDims] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)


def unoptimized(model: bytes, inputs: Mapping[str, Shape]) -> Plain:
    """The model with its nodes in execution order, its inputs having these shapes."""
    import onnx

    proto = onnx.ModelProto.FromString(model)
    for info in proto.graph.input:
        for dim, size in zip(info.type.tensor_type.shape.dim, inputs.get(info.name, ()), strict=False):
            dim.dim_value = size
    del proto.graph.value_info[:]
    proto = onnx.shape_inference.infer_shapes(proto)
    found = Plain()
    for info in (*proto.graph.input, *proto.graph.value_info, *proto.graph.output):
        if info.type.tensor_type.HasField("shape"):
            found.known[info.name] = tuple(_dim(dim) for dim in info.type.tensor_type.shape.dim)
    nodes = list(proto.graph.node)
    calls = [Call(node.op_type, tuple(node.input), tuple(node.output)) for node in nodes]
    names = [info.name for info in proto.graph.input]
    names += [name for node in nodes for name in (*node.input, *node.output) if name]
    found.numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    order = execution_order(calls, "default")
    place = {position: i for i, position in enumerate(order)}
    found.priority = tuple(place[position] for position in execution_order(calls, "priority"))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes[position] for position in order)
    found.model = proto.SerializeToString()
    return found


def _dim(dim: Any) -> int | str | None:
    if dim.HasField("dim_value"):
        return int(dim.dim_value)
    return dim.dim_param or None


MAX_WEIGHT_BYTES = 1_900_000_000  # an ORT-format file holds its weights and cannot exceed 2 GiB


@dataclass(frozen=True, slots=True)
class Optimized:
    """`path` is an ONNX file in default execution order, without weights; the rest as in RuntimeGraph."""

    path: Path
    known: Mapping[str, KnownDims]
    numbers: Mapping[str, int]
    priority: tuple[int, ...]
    version: str
    issues: tuple[Issue, ...]
    is_as_written: bool = False  # nothing was optimized, because onnxruntime could not be asked


def optimized(
    model: bytes,
    folder: Path,
    inputs: Mapping[str, Shape],
    types: Mapping[str, TensorType],
    options: SessionOptions,
    scratch: Path,
) -> Optimized:
    """Let ONNX Runtime optimize the model, nothing being run, and read what it will execute.

    `inputs` are the shapes that the inputs are bound to, `types` what is known of tensors by name from elsewhere;
    `folder` is where the model's weights may lie, `scratch` an empty folder to work in.
    """
    path = scratch / "optimized.onnx"
    nbytes = weight_bytes(model)
    if nbytes > MAX_WEIGHT_BYTES:
        plain = unoptimized(model, inputs)
        path.write_bytes(plain.model)
        what = f"{nbytes:,} bytes of weights are more than it can save: the graph is taken as written, constants folded"
        issue = Issue("assumption", "onnxruntime", what)
        return Optimized(path, plain.known, plain.numbers, plain.priority, version("onnxruntime"), (issue,), True)
    ready = runnable(model, folder, inputs, scratch)
    save = scratch / "optimized.ort"
    request = {
        "model": str(ready.path),
        "weights": str(ready.weights_folder),
        "options": asdict(options),
        "save": str(save),
    }
    answer = ask("optimize", request, scratch, limits=Limits.to_load(len(model), nbytes))
    found = unpacked(save.read_bytes(), types)
    save.unlink()
    path.write_bytes(found.model)
    return Optimized(path, found.known, found.numbers, found.priority, answer["version"], filled_weights(ready))


def filled_weights(ready: Runnable) -> tuple[Issue, ...]:
    """The note that weights were made up, when they were."""
    if not ready.filled_bytes:
        return ()
    what = f"the weights are absent: {ready.filled_bytes:,} bytes made up (small ones seeded, large ones zero)"
    return (Issue("assumption", "weights", what),)
