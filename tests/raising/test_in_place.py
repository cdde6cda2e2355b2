"""Activations in place: which may be, which are told to be, and what that does to the step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import graphmem
from graphmem.ir.graph import Frame, Origin
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Call, Program, Ref
from graphmem.raising import raised
from graphmem.raising.in_place import all_in_place
from graphmem.reader import read
from tests.autograd.test_training import held

Write = Callable[..., Path]

LEAKY = f"""g (float[512, 64] x) => (float[512, 64] y)
<{held("float[64, 64] w", 4096)}, {held("float[64, 64] u", 4096)}> {{
    h = MatMul(x, w) a = LeakyRelu(h) i = MatMul(a, u) b = LeakyRelu(i) y = MatMul(b, u)
}}"""


def test_activations_in_place_save_a_tensor_each(model: Write) -> None:
    path = model(LEAKY)
    out, inside = (graphmem.train(path, loss="sum", dropout=0, inplace=patterns) for patterns in ((), ("*",)))
    assert out.phase_peaks["forward"] - inside.phase_peaks["forward"] == 2 * 512 * 64 * 4
    assert "activations in place" in [question.what for question in out.questions]
    assert "activations in place" not in [question.what for question in inside.questions]


def test_a_pattern_without_a_match_says_that_none_is(model: Write) -> None:
    found = graphmem.train(model(LEAKY), loss="sum", inplace=["none"], dropout=0.0, names="last-use", assume_bn=False)
    assert (found.exactness, found.peak) == ("exact", graphmem.train(model(LEAKY), loss="sum").peak)


def program(text: str, file: str = "net.py", maker: str = "aten.linear", *reads: str) -> Program:
    """A product, an activation of it under that line, and perhaps another reader of the product."""
    origin = Origin(frames=(Frame(file, 1, "forward", text),))
    calls = [Call(maker, (Ref("x"),), ("h",)), Call("aten.leaky_relu.default", (Ref("h"),), ("a",), origin=origin)]
    calls.append(Call("aten.add", tuple(map(Ref, ("a", *reads))), ("y",)))
    return Program(tuple(calls), (), ("y",))


MODULE = "site-packages/torch/nn/modules/activation.py"


@pytest.mark.parametrize(
    ("case", "may_be"),
    [
        (program("return F.leaky_relu(input, self.negative_slope, self.inplace)", MODULE), True),
        (program("x = F.leaky_relu(x, 0.1)"), False),  # the line shows that it is not asked to
        (program("return F.leaky_relu(", MODULE, "aten.tanh"), False),  # tanh needs its result
        (program("return F.leaky_relu(", MODULE, "aten.linear", "h"), False),  # something else reads the input
    ],
)
def test_what_may_run_in_place_is_what_autograd_allows_and_no_line_denies(case: Program, may_be: bool) -> None:
    assert (all_in_place(case).calls[1].target == "aten.leaky_relu_") is may_be


def test_without_activations_in_question_nothing_is_said(model: Write) -> None:
    text = LEAKY.replace("LeakyRelu", "Gelu")
    path = model('<ir_version: 8, opset_import: ["" : 20]>' + text)
    assert "activations in place" not in [question.what for question in graphmem.train(path, loss="sum").questions]
    assert "aten.gelu" in [c.target for c in raised(read(path), TrainingOptions()).calls]
