"""Shared fixtures: models written as ten lines of ONNX text, and the measured networks beside the repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import onnx.parser
import pytest

SHARED = Path(__file__).parents[1].parent / "shared"
HEADER = '<ir_version: 8, opset_import: ["" : 17]>\n'


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Path]:
    """Write ONNX text (with or without its header) as an .onnx file; the path."""

    def write(text: str, name: str = "model.onnx") -> Path:
        text = text if text.lstrip().startswith("<") else HEADER + text
        path = tmp_path / name
        path.write_bytes(onnx.parser.parse_model(text).SerializeToString())
        return path

    return write


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files of the reports")
