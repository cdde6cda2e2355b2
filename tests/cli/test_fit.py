"""`graphmem fit`: exit codes, JSON that follows its schema, and text that a terminal of 80 columns shows whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import validate

from graphmem.report.envelope import schema_text
from graphmem.report.units import size

MODELS = Path(__file__).parents[2] / "models"
CNN, GPT = MODELS / "tiny_cnn.onnx", MODELS / "tiny_gpt.onnx"
Run = Callable[..., object]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((GPT, "--device", "4GB", "--train", "--batch", 4), 0),
        ((GPT, "--device", "451MiB", "--train", "--batch", 4), 1),
        ((CNN, "--device", "4GB", "--batch", 4, "--strict"), 3),  # cuDNN's workspace: fits, but not proved
        ((GPT, "--device", "4GB", "--train", "--batch", 4, "--dim", "sequence=8", "--strict"), 0),
        ((CNN, "--device", "rtx 3061"), 2),
        ((CNN, "--device", "4GB", "--batch", 0), 2),
        ((CNN, "--device", "4GB", "--optimizer", "adamw"), 2),
        ((CNN, "--device", "-3GB"), 2),
        ((MODELS / "no.onnx", "--device", "4GB"), 2),
        ((MODELS / "README.md", "--device", "4GB"), 2),
        ((CNN, "--batch", 4), 0),
    ],
)
def test_exit_codes(graphmem_command: Run, arguments: tuple[object, ...], code: int) -> None:
    done = graphmem_command("fit", *arguments)
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    if code == 2:
        message = [line for line in done.err.splitlines() if "rror: " in line]
        assert len(message) == 1
        assert not done.out


@pytest.mark.parametrize("arguments", [("--device", "500MiB", "--batch", "64"), ("--batch", "4")])
@pytest.mark.parametrize("mode", [(), ("--train", "--optimizer", "adamw")])
def test_json_follows_its_schema_and_the_text_says_the_same(
    graphmem_command: Run, mode: tuple[str, ...], arguments: tuple[str, ...]
) -> None:
    document = json.loads(graphmem_command("fit", CNN, *arguments, *mode, "--format", "json").out)
    validate(document, json.loads(schema_text("fit")))
    text = graphmem_command("fit", CNN, *arguments, *mode).out
    assert text.split("\n\n")[1].startswith("yes" if document["fits"] else "no")
    if document["largest_batch"]:
        assert f" {document['largest_batch']} is the largest" in " ".join(text.split())
    for row in document["options"][:3]:
        assert size(row["compared_bytes"]) in text


def test_80_columns_hold_every_line_and_every_figure(graphmem_command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    asked = [
        (CNN, "--device", "RTX PRO 6000 Blackwell", "--batch", 99_999),
        (GPT, "--batch", "64", "--explain"),
    ]
    for arguments in asked:
        out = graphmem_command("fit", *arguments, "--train", "--optimizer", "adamw").out
        assert max(map(len, out.splitlines())) <= 80
        assert "…" not in out


def test_a_bar_ends_at_the_line_of_the_device_exactly_when_it_fits(graphmem_command: Run) -> None:
    asked = ("fit", CNN, "--device", "500MiB", "--batch", 99)
    out = graphmem_command(*asked).out
    document = json.loads(graphmem_command(*asked, "--format", "json").out)
    bars = [line for line in out.splitlines() if "│" in line]
    assert len(bars) == len(document["curve"])
    for line, need in zip(bars, document["curve"], strict=True):
        fits = need["compared_bytes"] <= document["device"]["usable_bytes"]
        assert line.endswith("│") == fits, line


def test_options_of_training_are_refused_by_name_without_it(graphmem_command: Run) -> None:
    assert "--dropout describes a training step; add --train" in graphmem_command("fit", CNN, "--dropout", 0.1).err
