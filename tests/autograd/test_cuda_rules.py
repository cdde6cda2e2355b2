"""Where a GPU keeps something else than a CPU: what a call allocates, and what its backward leaves.

From the sources that the rules name: byte masks of native_dropout, float32 statistics of halves (Normalization.cpp,
layer_norm_kernel.cu), fused rms_norm, memory-efficient attention (logarithms of rows in blocks of 32, two numbers of the
random generator), cuDNN's packed weights and reserve, of which the rule says that it is a guess.
"""

from __future__ import annotations

from typing import Any

import pytest

from graphmem.autograd import ops
from graphmem.autograd.backward import Engine
from graphmem.autograd.machine import Machine, results
from graphmem.autograd.rules import rule_of
from graphmem.autograd.rules.loss import target_type
from graphmem.ir.errors import OptionError
from graphmem.ir.types import TensorType
from tests.autograd.rule_cases import CALLS
from tests.autograd.test_recorded_rules import built, events

CALLS_OF_CELLS = [call for call in CALLS if call[0].endswith("_cell")]

QKV = ["f 2 3 4 5", "f 2 3 6 5", "f 2 3 6 5"]
LSTM = ["f 20 4", "f 20 5", "f 20", "f 20"]
STATE = ["n 1 2 5", "n 1 2 5"]
WEIGHTS = 4 * (20 * 4 + 20 * 5 + 20 + 20)
NORM = ["n 4", "n 4", True, 0.1, 1e-5, False]


@pytest.mark.parametrize(
    ("name", "args", "forward", "left"),
    [
        ("dropout", ["f 3 5", 0.5, True], [15, 60], 60 - 15),
        ("layer_norm", ["h 2 3 8", [8], "h 8", "h 8"], [96, 24, 24], 96 + 16 + 16 - 48),
        ("layer_norm", ["f 2 3 8", [8], "f 8", "f 8"], [192, 24, 24], 192 + 32 + 32 - 48),
        ("batch_norm", ["h 2 8 3 3", "h 8", "h 8", "n 8", "n 8", *NORM[2:]], [288, 32, 32], 288 + 16 + 16 - 64),
        ("rms_norm", ["f 2 3 8", [8], "f 8"], [192, 24], 192 + 32 - 24),
        ("rms_norm", ["f 2 5 3 8", [3, 8], "f 3 8"], [960, 40], 960 + 96 - 40),
        ("scaled_dot_product_attention", QKV, [480, 2 * 3 * 32 * 4], 480 + 720 + 720 - 768),
        ("scaled_dot_product_attention", ["f 2 3 33 5", *QKV[1:]], [3960, 2 * 3 * 64 * 4], 3960 + 1440 - 1536),
        ("scaled_dot_product_attention", [*QKV, None, 0.5], [480, 768], 1920 - 768),
        ("scaled_dot_product_attention", [*QKV, "b 4 6"], [96, 480, 768], 1920 - 768 - 96),
        ("lstm", ["f 3 2 4", STATE, LSTM, True, 1, 0.0, True, False, False], [WEIGHTS, 120, 40, 40, 30 * 5 * 4], None),
        ("lstm", ["f 2 3 4", STATE, LSTM, True, 1, 0.0, True, False, True], [96, WEIGHTS, 120, 40, 40, 600], None),
        ("gru", ["f 3 2 4", "n 1 2 5", ["f 15 4", "f 15 5"], False, 1, 0.0, True, False, False],
         [4 * (60 + 75), 120, 40, 30 * 4 * 4], None),
        ("lstm", ["f 3 2 4", ["n 2 2 5", "n 2 2 5"], [*LSTM, "f 20 5", "f 20 5", "f 20", "f 20"], True, 2, 0.0, True, False,
         False], [WEIGHTS + 4 * 240, 120, 80, 80, 30 * 11 * 4], None),
        ("lstm", ["f 3 2 4", ["n 2 2 5", "n 2 2 5"], [*LSTM, *LSTM], True, 1, 0.0, True, True, False],
         [2 * WEIGHTS, 240, 80, 80, 60 * 5 * 4], None),
    ],
)  # fmt: skip
def test_a_gpu_keeps(name: str, args: list[Any], forward: list[int], left: int | None) -> None:
    m = Machine(device="cuda")
    operands = built(m, args)
    first = len(m.events)
    rule = rule_of(f"aten.{name}")
    assert rule is not None
    outs = results(rule(m, *operands))
    assert events(m, first) == forward
    assert bool(m.guessed) == (left is None)
    node = outs[0].node
    assert node is not None
    seed = ops.like(m, "aten::ones_like", outs[0])
    first = len(m.events)
    with m.within(phase="backward", grad_enabled=False), m.scope():
        Engine(m).run(node, 0, m.hold(seed))
    after = sum(events(m, first))
    if left is None:
        leaves = [operands[0], *operands[2]]
        assert all(leaf.grad is not None and leaf.grad.shape == leaf.shape for leaf in leaves)
    else:
        assert after == left


def test_a_dropout_of_which_nothing_is_said_trains_and_a_stride_that_only_the_file_knows_is_taken_from_it() -> None:
    m = Machine()
    rule = rule_of("aten.dropout")
    assert rule is not None
    first = len(m.events)
    rule(m, built(m, "f 3 5"))
    assert events(m, first) == [60, 60, 60]  # the operand, the mask and the result
    rule = rule_of("aten.as_strided")
    assert rule is not None
    with m.within(wanted=((2, 3), (9,))):
        assert rule(m, built(m, "f 3 4"), [None, 3], [4, 1]).shape == (2, 3)
        assert rule(m, built(m, "f 3 4"), [2, 2], [4, 1]).shape == (2, 2)


@pytest.mark.parametrize(
    ("loss", "shape", "target"),
    [
        ("cross_entropy", (6, 5), "int64[6]"), ("cross_entropy", (2, 3, 5), "int64[2, 3]"), ("cross_entropy", (2, 5, 3, 4), "int64[2, 3, 4]"),
        ("mse", (2, 3), "float32[2, 3]"), ("l1", (3,), "float32[3]"), ("bce", (2, 3), "float32[2, 3]"), ("sum", (2, 3), "None"), ("mean", (2,), "None"), ("none", (2,), "None"),
    ],
)  # fmt: skip
def test_the_target_that_goes_with_an_output(loss: str, shape: tuple[int, ...], target: str) -> None:
    assert str(target_type(loss, TensorType("float32", shape))) == target


def test_an_output_without_classes_fits_no_cross_entropy() -> None:
    with pytest.raises(OptionError, match="holds no classes"):
        target_type("cross_entropy", TensorType("float32", (5,)))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_heads_that_are_as_many_are_not_repeated_and_groups_are(device: str) -> None:
    def forward(args: list[Any], **options: Any) -> list[int]:
        m = Machine(device=device)
        operands = built(m, args)
        first = len(m.events)
        rule = rule_of("aten.scaled_dot_product_attention")
        assert rule is not None
        rule(m, *operands, None, 0.5, **options)
        return events(m, first)

    assert forward(QKV, enable_gqa=True) == forward(QKV)
    grouped = ["f 2 6 4 5", "f 2 3 6 5", "f 2 3 6 5"]
    if device == "cpu":  # in torch 960, 1440, 1440, 1152, 1152, 1152, 960
        assert sorted(forward(grouped, enable_gqa=True)) == [960, 960, 1152, 1152, 1152, 1440, 1440]
    else:
        assert forward(grouped, enable_gqa=True)[0] == 4 * 2 * 6 * 4 * 5


@pytest.mark.parametrize("name", ["lstm_cell", "gru_cell", "rnn_tanh_cell"])
def test_a_cell_is_a_guess_on_a_gpu_alone(name: str) -> None:
    key = next(args for called, args in CALLS_OF_CELLS if called == name)
    for device in ("cpu", "cuda"):
        m = Machine(device=device)
        rule = rule_of(f"aten.{name}")
        assert rule is not None
        rule(m, *built(m, key))
        assert bool(m.guessed) == (device == "cuda")
