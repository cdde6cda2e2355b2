"""Shared fixtures: models written as ten lines of ONNX text, and the measured networks beside the repository."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

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


class Finished(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def graphmem_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Finished]:
    """Run the command line in this process, as the console script does."""
    from graphmem.cli import main

    def run(*arguments: object) -> Finished:
        monkeypatch.setattr(sys, "argv", ["graphmem", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Finished(int(ended.value.code or 0), captured.out, captured.err)

    return run


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files of the reports")
    parser.addoption("--all-networks", action="store_true", help="ask the slow oracles about everything they know")
