"""`graphmem verify` and `graphmem optimize` as commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
from click.testing import CliRunner

from graphmem.cli import group
from graphmem.report.envelope import schema_text

TEXT = "g (float[b,64] x) => (float[b,64] y) { a = Exp(x) b1 = Neg(a) c = Neg(b1) y = Neg(c) }"


def test_verify_prints_predicted_beside_measured(model: Callable[..., Path]) -> None:
    result = CliRunner().invoke(group, ["verify", str(model(TEXT)), "--batch", "4", "--strict"])
    assert result.exit_code == 0, result.output
    assert "every figure is exact" in result.output
    assert "not seen" in result.output


def test_verify_writes_a_document(model: Callable[..., Path]) -> None:
    result = CliRunner().invoke(group, ["verify", str(model(TEXT)), "--dim", "b=4", "--format", "json"])
    document = json.loads(result.output)
    jsonschema.validate(document, json.loads(schema_text("verification")))
    first = document["trials"][0]
    assert first["predicted_bytes"] == first["measured_bytes"] == 2 * 4 * 64 * 4


def test_optimize_writes_and_says_what_to_set(model: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    result = CliRunner().invoke(group, ["optimize", str(model(TEXT)), "--batch", "4", "-o", str(out)])
    assert result.exit_code == 0, result.output
    assert "equal bit by bit" in result.output
    assert "onnxruntime.SessionOptions()" in result.output
    assert out.exists()


def test_analyze_takes_the_memory_model(model: Callable[..., Path]) -> None:
    result = CliRunner().invoke(group, ["analyze", str(model(TEXT)), "--batch", "4", "--memory-model", "onnxruntime"])
    assert result.exit_code == 0, result.output
    assert "later runs (pattern)" in result.output
