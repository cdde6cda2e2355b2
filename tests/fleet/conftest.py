"""A small fleet in a folder, and a look at what its workers open."""

from __future__ import annotations

import os
from collections.abc import Callable
from math import prod
from pathlib import Path

import onnx
import onnx.helper
import onnx.parser
import pytest

HEADER = '<ir_version: 8, opset_import: ["" : 17]>\n'
MLP = "g (float[{0}, {1}] x) => (float[{0}, {1}] y) {{ h = MatMul(x, w) a = Add(h, b) y = Relu(a) }}"
HOOK = Path(__file__).parent / "hook"


def mlp(path: Path, width: int, batch: str = "N") -> Path:
    """One layer with its weights, its batch free or fixed."""
    proto = onnx.parser.parse_model(HEADER + MLP.format(batch, width))
    for name, shape in (("w", (width, width)), ("b", (width,))):
        values = bytes(4 * prod(shape))
        proto.graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.FLOAT, shape, values, raw=True))
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Four models: three of a free batch, one fixed at 3."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    for width in (8, 16, 32):
        mlp(folder / f"w{width}.onnx", width)
    mlp(folder / "x-fixed.onnx", 8, "3")
    return folder


@pytest.fixture
def opened_by_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The names of the models that workers have opened so far, in order."""
    log = tmp_path / "opened.log"
    log.touch()
    monkeypatch.setenv("SWEEP_LOG", str(log))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HOOK), os.environ.get("PYTHONPATH", "")]))
    return lambda: log.read_text().split()
