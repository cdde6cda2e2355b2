"""Where prediction and recording part, on recordings written by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from graphmem.ort.plan import runtime_plan
from graphmem.ort.verify import parting
from tests.ort.test_onnxruntime import runtime

# a = Exp(x)  b = Softmax over the first axis (two workspaces of 256)  y = Neg(b)
TEXT = "g (float[4,16] x) => (float[4,16] y) { a = Exp(x) b = Softmax<axis = 0>(a) c = Neg(b) y = Neg(c) }"
AS_PREDICTED = [(256, 0), (256, 1), (256, 2), (-256, 1), (-256, 2), (256, 3), (-256, 0), (256, 4), (-256, 3)]


@pytest.mark.parametrize(
    ("recorded", "node", "words"),
    [
        pytest.param(AS_PREDICTED, None, "", id="as predicted"),
        pytest.param(AS_PREDICTED[:3] + AS_PREDICTED[5:], "b", "512 bytes of workspace", id="workspace that stays"),
        pytest.param(AS_PREDICTED[:5], "c", "no such allocation", id="the run ends early"),
        pytest.param([(512, 0)], "a", "256 bytes for 'a'", id="another size"),
    ],
)
def test_the_first_step_that_differs_is_named(
    recorded: list[tuple[int, int]], node: str | None, words: str, model: Callable[..., Path]
) -> None:
    plan = runtime_plan(runtime(model(TEXT)))
    found = parting(plan, [size for size, _ in recorded], [block for _, block in recorded])
    if node is None:
        assert found is None
    else:
        assert found is not None
        assert found.node == node
        assert words in found.expected + " " + found.found
