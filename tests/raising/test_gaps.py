"""What an export removed without a trace is named, and no figure changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx

import graphmem
from graphmem.raising.draft import NORM, NORM_HINT
from graphmem.raising.dropouts import LOST_DROPOUT, LOST_NORM
from graphmem.report.training import training_document, training_text

Write = Callable[..., Path]

ONES = ", ".join(["1"] * 4)
SQUARE = f"float[2, 2] %s = {{{ONES}}}"
HEAD = f"""g (float[2, 2] x) => (float[2, 2] z) <{SQUARE % "v"}, {SQUARE % "w"}> {{
    y = MatMul(x, v)
    r = Relu(y)
    DROP
    z = MatMul(s, w)
}}"""
CONV = """g (float[1, 1, 4, 4] x) => (float[1, 2, 4, 4] z)
    <float[2, 1, 1, 1] W = {1, 1}, float[2] B = {1, 1}> { y = Conv(x, W, B) z = Relu(y) }"""
ATTENTION = f"""g (float[1, 2, 2] x) => (float[1, 2, 2] z) <{SQUARE % "w"}>
    {{ v = MatMul(x, w) p = Softmax(v) z = MatMul(p, v) }}"""
LSTM = f"""g (float[2, 1, 1] x) => (float[2, 1, 1, 1] y) <float[1, 4, 1] w = {{{ONES}}}, float[1, 4, 1] r = {{{ONES}}},
    float[1, 8] b = {{{ONES}, {ONES}}}> {{ y, h, c = LSTM<hidden_size=1>(x, w, r, b) }}"""


def whats(found: graphmem.Training) -> set[str]:
    return {i.what for i in found.inferred}


def test_dropout_of_a_head_is_named_and_changes_nothing(model: Write) -> None:
    bare = model(HEAD.replace("DROP", "s = Identity(r)"))
    found = graphmem.train(bare, loss="sum")
    assert LOST_DROPOUT in whats(found)
    told = graphmem.train(bare, loss="sum", dropout=0.0)
    assert LOST_DROPOUT not in whats(told)
    assert told.peak == found.peak


def test_a_dropout_in_the_file_proves_that_none_is_gone(model: Write) -> None:
    assert LOST_DROPOUT not in whats(graphmem.train(model(HEAD.replace("DROP", "s = Dropout(r)")), loss="sum"))


def test_dropout_of_attention_is_named(model: Write) -> None:
    assert LOST_DROPOUT in whats(graphmem.train(model(ATTENTION), loss="sum"))


def test_a_convolution_with_a_bias_before_an_activation_may_hide_a_norm(model: Write) -> None:
    assert LOST_NORM in whats(graphmem.train(model(CONV), loss="sum"))


def test_numbered_weights_are_evidence_of_a_folded_norm(model: Write) -> None:
    path = model(CONV)
    proto = onnx.load(path)
    for i, weight in enumerate(proto.graph.initializer):
        weight.name = proto.graph.node[0].input[i + 1] = f"onnx::Conv_{i}"
    onnx.save(proto, path)
    assert {NORM_HINT} == whats(graphmem.train(path, loss="sum"))
    assert {NORM} == whats(graphmem.train(path, loss="sum", assume_bn=True))


def test_the_reserve_of_cudnn_raises_an_issue(model: Write) -> None:
    path = model(LSTM)
    assert graphmem.train(path, loss="sum").is_complete
    found = graphmem.train(path, loss="sum", device="cuda")
    assert [(i.kind, i.effect) for i in found.issues] == [("unknown-workspace", "at least")]
    assert f"peak  >= {found.peak} B" in training_text(found, 120)


def test_unknown_scratch_of_convolutions_is_named_beside_the_allocator(model: Write) -> None:
    found = graphmem.train(model(CONV), loss="sum", device="cuda", assume_bn=False, names="last-use", dropout=0.0)
    assert found.is_complete  # the tensor-level figures
    assert found.allocator is not None
    assert found.allocator.unknown
    assert training_document(found)["allocator"]["unknown"] == list(found.allocator.unknown)
    assert "allocated >= " in training_text(found, 120)


def test_nothing_is_unknown_to_the_allocator_without_cudnn(model: Write) -> None:
    found = graphmem.train(model(ATTENTION), loss="sum", device="cuda")
    assert found.allocator is not None
    assert found.allocator.unknown == ()
