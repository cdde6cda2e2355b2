"""The terminal summary: held against golden files, and never cutting a figure at any width."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import graphmem
from graphmem.report.analysis import analysis_text

MODELS = Path(__file__).parents[2] / "models"
GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    ("name", "dims", "width"),
    [("resnet50", {}, 80), ("llama", {"sequence": 512}, 140), ("tiny_cnn", {}, 60)],
)
def test_the_summary_is_as_it_was(name: str, dims: dict[str, int], width: int, request: pytest.FixtureRequest) -> None:
    text = analysis_text(graphmem.analyze(MODELS / f"{name}.onnx", dims, batch=1), width=width) + "\n"
    golden = GOLDEN / f"{name}-{width}.txt"
    if request.config.getoption("--update-golden"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [50, 60, 80, 100, 140, 200])
def test_no_width_cuts_a_figure(width: int) -> None:
    analysis = graphmem.analyze(MODELS / "llama.onnx", {"sequence": 512}, batch=4)
    text = analysis_text(analysis, width=width)
    assert max(map(len, text.splitlines())) <= width
    unfolded = re.sub(r"\s+", " ", text)
    for figure in ("1,067,450,368 bytes", "1018.00 MiB", "5.58 GiB", "6.58 GiB", "float32 4×512×128256", "1002.00 MiB"):
        assert figure in unfolded


def test_colour_is_only_there_when_asked_for() -> None:
    analysis = graphmem.analyze(MODELS / "tiny_cnn.onnx", batch=1)
    assert "\x1b[" not in analysis_text(analysis)
    assert "\x1b[" in analysis_text(analysis, color=True)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", analysis_text(analysis, color=True))
    assert [line.rstrip() for line in plain.splitlines()] == analysis_text(analysis).splitlines()
