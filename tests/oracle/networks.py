"""The measured networks: where they lie, the dimensions their truth was recorded with, and their recorded types."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import onnx
import pytest

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"

# Recorded with batch 2 and 64 tokens, but for these (read off the recorded shapes).
BATCH = {"segformer": 1, "mamba": 1}
LENGTH = {"lstm": 32, "mamba": 16, "wav2vec2": 16_000}


@functools.cache
def truth() -> dict[str, dict[str, tuple[list[int], str]]]:
    """network -> tensor -> (shape, dtype) as onnxruntime produced them; skips the test when the data is not there."""
    path = SHARED / "inference" / "truth.json"
    if not path.exists():
        pytest.skip(f"{path} is not there: the measured networks are not part of the repository")
    recorded: dict[str, dict[str, tuple[list[int], str]]] = json.loads(path.read_text())["tensors"]
    return recorded


def names() -> list[str]:
    """All networks with recorded types, for parametrization; a single placeholder when the data is not there."""
    path = SHARED / "inference" / "truth.json"
    return sorted(json.loads(path.read_text())["tensors"]) if path.exists() else ["no-data"]


def path_of(network: str) -> Path:
    folder = LIGHT if network.startswith("light_") else SHARED / "inference"
    return folder / f"{network}.onnx"


def dims_of(network: str, proto: onnx.ModelProto) -> dict[str, int]:
    """Numbers for the network's free dimensions."""
    family = network.partition("_")[0]
    dims = {}
    for info in proto.graph.input:
        for axis, dim in enumerate(info.type.tensor_type.shape.dim):
            if dim.dim_param:
                dims[dim.dim_param] = BATCH.get(family, 2) if axis == 0 else LENGTH.get(family, 64)
    return dims
