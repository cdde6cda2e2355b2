"""ModelProto -> the same model with its nodes in another order, and whether both compute the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from graphmem.ir.runtime import SessionOptions
from graphmem.ir.types import Shape
from graphmem.measure.prepare import runnable
from graphmem.measure.process import ask


def reordered(model: bytes, outputs: Sequence[str]) -> bytes:
    """The model with the nodes that write these names in this order; all others, such as constants, before them."""
    import onnx

    proto = onnx.ModelProto.FromString(model)
    place = {name: i for i, name in enumerate(outputs)}
    nodes = sorted(proto.graph.node, key=lambda node: min((place[n] for n in node.output if n in place), default=-1))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    data: bytes = proto.SerializeToString()
    return data


def has_external_weights(model: bytes) -> bool:
    """True when some initializer lies outside the file."""
    import onnx

    proto = onnx.ModelProto.FromString(model)
    return any(t.data_location == onnx.TensorProto.EXTERNAL for t in proto.graph.initializer)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Outputs of two models on the same inputs: equal bit by bit, or within rounding."""

    same: bool
    close: bool


def compared(
    models: Sequence[bytes],
    folder: Path,
    inputs: Mapping[str, Shape],
    options: Sequence[SessionOptions],
    scratch: Path,
) -> Comparison:
    """Run both models in one process on seeded random inputs, absent weights made up alike."""
    paths = []
    for i, model in enumerate(models):
        own = scratch / str(i)
        own.mkdir()
        ready = runnable(model, folder, inputs, own)
        paths.append((ready.path, ready.weights_folder))
    request = {
        "models": [[str(path), str(weights)] for path, weights in paths],
        "options": [asdict(o) for o in options],
        "shapes": {name: list(shape) for name, shape in inputs.items()},
        "seed": 0,
    }
    answer = ask("compare", request, scratch)
    return Comparison(answer["same"], answer["close"])
