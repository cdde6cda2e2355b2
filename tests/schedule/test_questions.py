"""What a file leaves open of a training step, and the interval of its peak."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import graphmem
from tests.autograd.test_training import held

Write = Callable[[str], Path]
CONV = f"""g (float[2, 3, 8, 8] x) => (float[2, 4] y)
<{held("float[8, 3, 3, 3] w", 216)}, {held("float[8] b", 8)},
 {held("float[4, 288] v", 1152)}, {held("float[4] c", 4)}> {{
    h = Conv(x, w, b) r = LeakyRelu(h) f = Flatten(r) y = Gemm<transB = 1>(f, v, c)
}}"""
FEED_FORWARD = f"""g (float[64, 16] x) => (float[64, 4] y)
<{held("float[16, 32] w", 512)}, {held("float[32] b", 32)}, {held("float[32, 4] v", 128)}, {held("float[4] c", 4)}> {{
    h = MatMul(x, w) i = Add(h, b) r = Relu(i) o = MatMul(r, v) y = Add(o, c)
}}"""
MODELS = Path(__file__).parents[2] / "models"
ANSWERS: dict[str, list[dict[str, Any]]] = {
    "dropout": [{"dropout": 0.0}, {"dropout": 0.1}],
    "batch norm folded into convolutions": [{"assume_bn": False}, {"assume_bn": True}],
    "activations in place": [{"inplace": ["none"]}, {"inplace": ["*"]}],
    "Python names that keep values alive": [{"names": "last-use"}, {"names": "function"}],
}


@pytest.mark.parametrize("text", [CONV, FEED_FORWARD])
def test_each_answer_of_a_question_is_the_step_that_its_option_describes(text: str, model: Write) -> None:
    path = model(text)
    found = graphmem.train(path)
    assert found.exactness == "between"
    for question in found.questions:
        peaks = {alternative.peak for alternative in question.alternatives}
        assert {graphmem.train(path, **answer).peak for answer in ANSWERS[question.what]} <= peaks


@pytest.mark.parametrize("text", [CONV, FEED_FORWARD])
def test_the_ends_are_peaks_of_steps_that_exist(text: str, model: Write) -> None:
    path = model(text)
    found = graphmem.train(path)
    assert found.least <= found.peak <= found.most
    corners: list[dict[str, Any]] = [{}]
    for question in found.questions:
        corners = [corner | answer for corner in corners for answer in ANSWERS[question.what]]
    peaks = [graphmem.train(path, **corner).peak for corner in corners]
    assert (min(peaks), max(peaks)) == (found.least, found.most)


@pytest.mark.parametrize("text", [CONV, FEED_FORWARD])
def test_a_step_with_all_questions_answered_is_exact(text: str, model: Write) -> None:
    path = model(text)
    answers = {key: value for rows in ANSWERS.values() for key, value in rows[0].items()}
    found = graphmem.train(path, **answers)
    assert (found.exactness, found.questions, found.least, found.most) == ("exact", (), found.peak, found.peak)


def test_a_file_in_training_form_leaves_nothing_open() -> None:
    assert graphmem.train(MODELS / "resnet18.onnx", batch=2).questions == ()


def test_folded_batch_norms_of_a_torchscript_file_are_asked_for() -> None:
    found = graphmem.train(MODELS / "resnet50_torchscript.onnx", batch=1)
    assert "batch norm folded into convolutions" in [question.what for question in found.questions]
    assert found.most == graphmem.train(MODELS / "resnet50_torchscript.onnx", batch=1, assume_bn=True).peak
