"""`graphmem train --parallel`: JSON by its schema, a page of 80 columns, one line for what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import graphmem
from graphmem.report.envelope import schema_text

MODELS = Path(__file__).parents[2] / "models"
DIMS = ("--dim", "sequence=16", "--batch", "4")
WAYS = ["ddp:2", "ddp:2:view", "zero1:3", "zero2:2", "fsdp:2", "tp:2", "pipeline:2:4"]


@pytest.mark.parametrize("way", WAYS)
def test_json_follows_the_schema_and_parts_add_up(way: str, graphmem_command: Callable[..., Any]) -> None:
    ran = graphmem_command("train", MODELS / "gpt2.onnx", *DIMS, "--parallel", way, "--format", "json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    jsonschema.validate(found, json.loads(schema_text("ranks")))
    assert len(found["ranks"]) == found["parallel"]["ranks"]
    assert found["peak_bytes"] == max(rank["peak_bytes"] for rank in found["ranks"])
    assert found["communication_bytes"] == sum(row["sent_bytes"] for row in found["communication"]) > 0
    for rank in found["ranks"]:
        assert rank["peak_bytes"] == sum(rank["breakdown_bytes"].values()) == max(rank["phase_peak_bytes"].values())


def test_the_page_fits_80_columns_and_cuts_no_figure(
    graphmem_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ran = graphmem_command("train", MODELS / "gpt2.onnx", *DIMS, "--parallel", "zero1:3", "--optimizer", "adamw")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    assert "2(W-1)n" in ran.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--parallel", "magic:2"], "is not one of ddp:N"),
        (["--parallel", "pipeline:2:3"], "cannot be cut into 3 equal micro-batches"),
        (["--parallel", "ddp:2", "--timeline"], "not combined with --timeline"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: list[str], message: str, graphmem_command: Callable[..., Any]) -> None:
    ran = graphmem_command("train", MODELS / "gpt2.onnx", *DIMS, *arguments)
    assert ran.code == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1


def test_a_network_without_linear_pairs_is_refused_by_tensor_parallelism(graphmem_command: Callable[..., Any]) -> None:
    ran = graphmem_command("train", MODELS / "resnet18.onnx", "--batch", "2", "--parallel", "tp:2")
    assert ran.code == 2
    assert "finds no block to cut" in ran.err


def test_the_package_offers_it() -> None:
    found = graphmem.train_ranks(MODELS / "gpt2.onnx", "ddp:2", {"sequence": 16}, batch=2)
    assert found.peak == found.single_peak + sum(row.payload for row in found.communication if "bucket" in row.what)
