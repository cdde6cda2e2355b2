"""What each rule allocates and gives back, forward and backward, against what torch did for the same call.

`torch_rules.json` is a record of torch's own profiler (tests/autograd/record.py), so the test needs no torch. Numbers
that torch wraps as tensors of 8 bytes and less are left out on both sides.
"""

from __future__ import annotations

import json
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from graphmem.autograd import ops
from graphmem.autograd.backward import Engine
from graphmem.autograd.machine import Machine, results
from graphmem.autograd.rules import rule_of
from graphmem.autograd.tensor import Tensor
from tests.autograd.rule_cases import named

RECORD = json.loads(Path(__file__).with_name("torch_rules.json").read_text())["calls"]
CALLS = {key: call for key, call in named().items() if key in RECORD}
DTYPES = dict.fromkeys("fntco", "float32") | {"h": "bfloat16", "i": "int64", "b": "bool"}


def operand(m: Machine, text: str) -> Tensor:
    kind, *sizes = text.split()
    shape = tuple(map(int, sizes))
    strides = None
    if kind == "t":
        strides = (1, shape[0])
    elif kind == "c":
        strides = (shape[1] * shape[2] * shape[3], 1, shape[1] * shape[3], shape[1])
    made = m.empty(shape, DTYPES[kind], strides)
    made.requires_grad = kind in "ftcho"
    return ops.clone(m, made) if kind == "o" else made


def built(m: Machine, value: Any) -> Any:
    if isinstance(value, str) and value[:2] in {f"{kind} " for kind in DTYPES}:
        return operand(m, value)
    return [built(m, v) for v in value] if isinstance(value, list) else value


def events(m: Machine, first: int) -> list[int]:
    rows = [(e, m.records[abs(e) - 1]) for e in m.events[first:]]
    return [r.nbytes if e > 0 else -r.nbytes for e, r in rows if r.nbytes > 8 and r.kind != "workspace"]


def run(key: str, is_stated: bool) -> tuple[list[list[Any]], list[int], list[int]]:
    """(results, events forward, events backward) of our rule; `is_stated`: the file states the results' shapes."""
    name, args = CALLS[key]
    recorded = RECORD[key]
    m = Machine()
    operands = built(m, args)
    rule = rule_of(f"aten.{name}")
    assert rule is not None, name
    shapes = tuple(tuple(row[1:]) for row in recorded["results"])
    stated = {"wanted": shapes, "wanted_dtypes": tuple(row[0] for row in recorded["results"])} if is_stated else {}
    first = len(m.events)
    with m.within(**stated):
        outs = results(rule(m, *operands))
    forward = events(m, first)
    made = [[t.dtype, *t.shape] for t in outs]
    root = recorded["root"]
    if root is None:
        return made, forward, []
    node = outs[root].node
    if node is None:  # the operand itself came back
        return made, forward, recorded["backward"]
    seed = ops.like(m, "aten::ones_like", outs[root])
    first = len(m.events)
    with m.within(phase="backward", grad_enabled=False), m.scope():
        Engine(m).run(node, outs[root].output, m.hold(seed))
    return made, forward, events(m, first)


def figures(found: list[int]) -> tuple[int, int]:
    """The peak of the events, and what is left."""
    return max(accumulate(found), default=0), sum(found)


# Calls that the rule follows in part only, by name: how many forward and backward, and what is different.
APART = {
    "adaptive_max_pool2d": (0, 1, "torch hands out the indices, which are then held"),
    "add": (1, 0, "an integer and a fraction make a float"),
    "add_": (1, 0, "the rule is that of add"),
    "atan2": (0, 3, "torch multiplies before it broadcasts"),
    "clamp_": (0, 1, "the rule is that of clamp"),
    "embedding_bag": (1, 1, "torch hands out three of the tables, which are then held"),
    "fmod": (0, 3, "the gradient of the divisor"),
    "im2col": (0, 1, "the gradient is of the columns"),
    "index_put": (0, 1, "torch looks at a mask of zeros"),
    "kl_div": (0, 1, "another order of the formula"),
    "local_response_norm": (1, 0, "torch pads a copy and lets it go"),
    "lstm": (1, 1, "torch makes biases of zeros"),
    "masked_fill_": (1, 0, "the rule is that of masked_fill"),
    "matmul": (1, 1, "torch expands a batch of one by a copy"),
    "mul_": (0, 1, "the rule is that of mul"),
    "pad": (0, 1, "edges are copied one by one"),
    "pow": (0, 6, "masks of zeros in the gradient of the exponent; exponents 0 and 1 are no special cases of the rule"),
    "prod": (0, 1, "the check for zeros"),
    "remainder": (0, 3, "the gradient of the divisor"),
    "repeat": (0, 1, "torch sums one dimension at a time"),
    "rnn_tanh": (0, 1, "another order of sums"),
    "scatter": (3, 0, "the CPU's kernel sorts"),
    "select_scatter": (0, 1, "the source's gradient comes first"),
    "slice_scatter": (0, 1, "the source's gradient comes first"),
    "std": (0, 1, "the result is read twice"),
    "sub_": (1, 0, "the rule is that of sub"),
    "unbind": (0, 2, "gradients that never came are zeros for the rule"),
}


def differs(key: str, is_stated: bool = True) -> str:
    """How the rule's events differ from torch's: the phases in which it does, or "order" where nothing else does."""
    found = []
    for phase, ours in zip(("forward", "backward"), run(key, is_stated)[1:], strict=True):
        wanted = RECORD[key][phase]
        if ours != wanted:
            is_same = figures(ours) == figures(wanted) and sorted(ours) == sorted(wanted)
            found.append("order" if is_same else phase)
    return " ".join(dict.fromkeys(found))


STATED = {"eye", "im2col", "nonzero", "sort", "var_mean"}  # of which the file must say more than the call
# Names of which torch gives some temporaries back sooner or later, with the same peaks.
REORDERED = {
    "batch_norm", "bilinear", "chunk", "conv1d", "conv2d", "conv3d", "conv_transpose2d", "gru", "instance_norm",
    "linear", "lstm", "lstm_cell", "rnn_tanh", "rnn_tanh_cell", "scaled_dot_product_attention", "split", "var", "var_mean",
}  # fmt: skip


@pytest.mark.parametrize("key", [key for key in CALLS if CALLS[key][0] not in APART])
def test_a_rule_allocates_and_gives_back_what_torch_does(key: str) -> None:
    assert run(key, is_stated=True)[0] == RECORD[key]["results"]
    allowed = {"", "order"} if CALLS[key][0] in REORDERED else {""}
    assert differs(key) in allowed
    if CALLS[key][0] not in STATED:
        assert run(key, is_stated=False) == run(key, is_stated=True)


@pytest.mark.parametrize("name", APART)
def test_what_is_followed_in_part_is_followed_in_all_but_so_many_calls(name: str) -> None:
    keys = [key for key in CALLS if CALLS[key][0] == name]
    counts = [sum(which in differs(key) for key in keys) for which in ("forward", "backward")]
    assert (*counts, APART[name][2]) == APART[name]
    for key in keys:
        assert run(key, is_stated=name in STATED) == run(key, is_stated=True)


def test_most_calls_are_followed_byte_by_byte_in_torch_s_order() -> None:
    exact = [key for key in CALLS if CALLS[key][0] not in APART | dict.fromkeys(REORDERED)]
    assert len(exact) > 250
