"""A training step of every committed network, dynamic dimensions bound: followed to the end, and exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import graphmem

MODELS = Path(__file__).parents[2] / "models"
SEQUENCE = {"sequence": 16}
NAMES = ["bert", "gpt2", "llama", "mobilenetv2", "resnet18", "resnet50", "resnet50_torchscript", "unet", "vgg16", "vit"]


@pytest.mark.parametrize("name", NAMES)
def test_every_network_to_try_trains_with_an_exact_figure(name: str) -> None:
    dims = SEQUENCE if name in ("bert", "gpt2", "llama") else {}
    told: Any = {"inplace": ["none"], "names": "last-use", "assume_bn": False, "dropout": 0.0}
    training = graphmem.train(MODELS / f"{name}.onnx", dims, batch=2, **told)
    assert training.exactness == "exact"
    assert training.peak > training.model.weight_bytes > 0


def test_a_call_that_does_not_fit_its_rule_is_counted_as_unknown_and_said() -> None:
    training = graphmem.train(MODELS / "tiny_if.onnx", batch=2)
    assert training.exactness == "at most"
    assert any(issue.kind == "unknown-rule" for issue in training.issues)
