"""Structured pruning: which channels go, as sums of what stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import graphmem
from graphmem.ir.errors import OptionError

Write = Callable[..., Path]
MODELS = Path(__file__).parents[2] / "models"


def held(typed: str, count: int) -> str:
    return f"{typed} = {{{', '.join(['1'] * count)}}}"


def weight(model: Path, share: float) -> int:
    """Float elements of the weights that stay."""
    return graphmem.analyze(model, prune=share).model.weight_bytes // 4


# x [1, 2, 4, 4]: 10 channels, 10 channels, 3 outputs
CHAIN = f"""g (float[1, 2, 4, 4] x) => (float[1, 3, 4, 4] z)
    <{held("float[10, 2, 1, 1] a", 20)}, {held("float[10, 10, 1, 1] b", 100)}, {held("float[3, 10, 1, 1] c", 30)}>
    {{ p = Conv(x, a) r = Relu(p) q = Conv(r, b) z = Conv(q, c) }}"""
RESIDUAL = CHAIN.replace("z = Conv(q, c)", "s = Add(q, r) z = Conv(s, c)")
INPUT_ADDED = f"""g (float[1, 10, 4, 4] x) => (float[1, 3, 4, 4] z)
    <{held("float[10, 10, 1, 1] b", 100)}, {held("float[3, 10, 1, 1] c", 30)}>
    {{ q = Conv(x, b) s = Add(q, x) z = Conv(s, c) }}"""
DEPTHWISE = f"""g (float[1, 2, 4, 4] x) => (float[1, 3, 4, 4] z)
    <{held("float[10, 2, 1, 1] a", 20)}, {held("float[10, 1, 1, 1] d", 10)}, {held("float[3, 10, 1, 1] c", 30)}>
    {{ p = Conv(x, a) q = Conv<group=10>(p, d) z = Conv(q, c) }}"""
JOINED = f"""g (float[1, 2, 4, 4] x) => (float[1, 3, 4, 4] z)
    <{held("float[10, 2, 1, 1] a", 20)}, {held("float[20, 2, 1, 1] b", 40)}, {held("float[3, 30, 1, 1] c", 90)}>
    {{ p = Conv(x, a) q = Conv(x, b) s = Concat<axis=1>(p, q) z = Conv(s, c) }}"""
FLAT = f"""g (float[1, 2, 2, 2] x) => (float[1, 3] z)
    <{held("float[10, 2, 1, 1] a", 20)}, {held("float[3, 40] w", 120)}>
    {{ p = Conv(x, a) f = Flatten(p) z = Gemm<transB=1>(f, w) }}"""
SPLIT = CHAIN.replace("r = Relu(p)", "r, t = Split<axis=1>(p)").replace("float[10, 10, 1, 1] b", "float[10, 5, 1, 1] b")


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        (CHAIN, 7 * 2 + 7 * 7 + 3 * 7),  # the last layer keeps its 3 outputs
        (RESIDUAL, 7 * 2 + 7 * 7 + 3 * 7),
        (INPUT_ADDED, 10 * 10 + 3 * 10),  # tied to the input, which keeps its size
        (DEPTHWISE, 7 * 2 + 7 + 3 * 7),
        (JOINED, 7 * 2 + 14 * 2 + 3 * (7 + 14)),
        (FLAT, 7 * 2 + 3 * 7 * 4),
    ],
)
def test_three_tenths_of_the_channels_go_where_the_graph_allows(model: Write, text: str, stays: int) -> None:
    assert weight(model(text), 0.3) == stays
    assert graphmem.analyze(model(text), prune=0.3).is_complete


def test_channels_that_are_split_keep_their_number(model: Write) -> None:
    text = SPLIT.replace(", ".join(["1"] * 100), ", ".join(["1"] * 50))
    assert weight(model(text), 0.3) == 10 * 2 + 7 * 5 + 3 * 7


def test_activations_shrink_with_their_channels(model: Write) -> None:
    assert graphmem.analyze(model(CHAIN)).inference.peak == 4 * 16 * 20
    assert graphmem.analyze(model(CHAIN), prune=0.3).inference.peak == 4 * 16 * 14


def test_nothing_to_take_out_is_said_and_changes_nothing(model: Write) -> None:
    found = graphmem.analyze(model(INPUT_ADDED), prune=0.3)
    (issue,) = [i for i in found.graph.issues if i.where == "--prune 0.3"]
    assert "no channels can be taken out" in issue.what
    assert "leaves dense tensors as large as they are" in issue.what


@pytest.mark.parametrize("name", ["mobilenetv2", "resnet50_torchscript", "unet", "tiny_gpt"])
def test_a_larger_share_never_needs_more(name: str) -> None:
    found = [graphmem.analyze(MODELS / f"{name}.onnx", batch=1, prune=s / 10) for s in (0, 1, 3, 6, 9)]
    for smaller, larger in zip(found[1:], found, strict=False):
        assert smaller.model.weight_bytes < larger.model.weight_bytes
        assert smaller.inference.peak <= larger.inference.peak
    trained = [graphmem.train(MODELS / f"{name}.onnx", batch=1, prune=s).peak for s in (0, 0.5)]
    assert trained[1] < trained[0]


@pytest.mark.parametrize("share", [-0.1, 1.0, 3.0])
def test_a_share_that_is_none_is_refused(model: Write, share: float) -> None:
    with pytest.raises(OptionError, match="is not a share of channels"):
        graphmem.analyze(model(CHAIN), prune=share)


@pytest.mark.parametrize("shape", ["", "[1]", "[4]", "[1, 4]", "[2, 1]"])
def test_a_bias_of_any_shape_that_broadcasts_is_taken(model: Write, shape: str) -> None:
    size = 4 if "4" in shape else 2 if "2" in shape else 1
    values = ", ".join(["1.0"] * size)
    weights = f"float[3, 4] w = {{{', '.join(['1.0'] * 12)}}}, float{shape} c = {{{values}}}"
    path = model(f"g (float[2, 3] x) => (float[2, 4] y) <{weights}> {{ h = Gemm (x, w, c)  y = Relu (h) }}")
    assert graphmem.analyze(path, prune=0.5).exactness == "exact"
