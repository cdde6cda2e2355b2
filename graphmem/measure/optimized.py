"""ModelProto -> the graph that ONNX Runtime makes of it, with the shapes that its memory planner goes by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from graphmem.ir.graph import Issue
from graphmem.ir.runtime import KnownDims, SessionOptions
from graphmem.ir.types import Shape, TensorType
from graphmem.measure.ort_format import unpacked
from graphmem.measure.prepare import Runnable, runnable, weight_bytes
from graphmem.measure.process import ask
from graphmem.measure.unoptimized import unoptimized

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
    answer = ask("optimize", request, scratch)
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
