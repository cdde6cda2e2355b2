"""Calls that the exporter wrote out, and regions without gradient: what is put in their place and allocates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import graphmem
from graphmem.autograd.backward import backward
from graphmem.autograd.machine import Machine
from graphmem.autograd.ops import full
from graphmem.autograd.rules import RULES
from graphmem.autograd.tensor import Tensor
from graphmem.ir.graph import Frame, Origin
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Call, Ref
from graphmem.ir.types import TensorType
from graphmem.raising.composed import compose
from graphmem.raising.draft import Draft
from graphmem.raising.without_grad import mark_without_grad
from graphmem.reader import read
from tests.autograd.test_training import held

Write = Callable[..., Path]


def draft(model: Write, *calls: Call) -> Draft:
    found = Draft.of(read(model("g (float[2, 3] x) => (float[2, 3] y) { y = Relu(x) }")), TrainingOptions(), "")
    found.calls = list(calls)
    return found


def typed(
    target: str, out: str, *args: object, shape: tuple[int, ...] = (4, 3), text: str = "", file: str = "net.py"
) -> Call:
    frames = (Frame(file, 1, "forward", text),)
    return Call(target, args, (out,), (TensorType("float32", shape),), {}, Origin(frames=frames))


def test_an_adding_index_put_is_an_index_add(model: Write) -> None:
    at = [None, Ref("i")]
    call = typed("aten.index_put.default", "y", Ref("x"), at, Ref("v"), True, text="x.index_add(1, i, v)")
    made = draft(model, call)
    compose(made)
    assert (made.calls[0].target, made.calls[0].args) == ("aten.index_add", (Ref("x"), 1, Ref("i"), Ref("v")))


@pytest.mark.parametrize(("adds", "text"), [(False, "x[i] = v"), (True, "x.index_put_((i,), v, accumulate=True)")])
def test_other_index_puts_stay(model: Write, adds: bool, text: str) -> None:
    made = draft(model, typed("aten.index_put.default", "y", Ref("x"), [Ref("i")], Ref("v"), adds, text=text))
    compose(made)
    assert made.calls[0].target == "aten.index_put.default"


@pytest.mark.parametrize(("dims", "fused"), [([1, 2], True), ([0, 1], True), ([0, 2], False)])
def test_a_weight_norm_is_one_call_along_the_first_or_last_dimension(
    model: Write, dims: list[int], fused: bool
) -> None:
    norm = typed("aten.linalg_vector_norm.default", "n", Ref("v"), 2.0, dims, True, shape=(1, 1, 4))
    rest = (
        typed("aten.div.Tensor", "q", Ref("g"), Ref("n")),
        typed("aten.mul.Tensor", "w", Ref("v"), Ref("q")),
    )
    made = draft(model, norm, *rest)
    compose(made)
    assert (len(made.calls) == 1 and made.calls[0].target == "aten._weight_norm") is fused


GENERATED = "<eval_with_key>.5"


def test_generated_lines_of_their_own_run_without_gradient(model: Write) -> None:
    line = "linear_1 = torch.ops.aten.linear.default(x, p_w, p_b);  x = None"
    made = draft(model, typed("aten.linear.default", "y", Ref("x"), text=line, file=GENERATED))
    mark_without_grad(made)
    assert not made.calls[0].is_recorded
    assert [i.what for i in made.inferred] == ["calls under no_grad"]


def test_a_region_of_autocast_has_gradients(model: Write) -> None:
    line = "linear_1 = torch.ops.aten.linear.default(x, arg2_1, arg3_1);  x = None"
    made = draft(model, typed("aten.linear.default", "y", Ref("x"), text=line, file=GENERATED))
    mark_without_grad(made)
    assert made.calls[0].is_recorded


@pytest.mark.parametrize(
    ("target", "line"),
    [("aten.clamp_min.default", "clamp_min_ = torch.ops.aten.clamp_min_.default(x, 1e-12);  x = None"),
     ("aten.div.Tensor", "div = torch.ops.aten.div.out(x, y, out = b_norm__u);  x = y = b_norm__u = None")],
)  # fmt: skip
def test_what_a_generated_line_does_in_place_allocates_nothing(model: Write, target: str, line: str) -> None:
    made = draft(model, typed(target, "y", Ref("x"), text=line, file=GENERATED))
    mark_without_grad(made)
    assert made.calls[0].target == "aten.alias"


def _made(target: str, build: Callable[[Machine], tuple[object, ...]]) -> list[tuple[str, int]]:
    """What the backward pass of a rule's result, and of the sum over it, allocates."""
    m = Machine()
    with m.operator("inputs"):
        args = build(m)
    made = RULES[target](m, *args)
    loss = RULES["aten.sum"](m, made[0] if isinstance(made, list) else made)
    first = len(m.steps)
    backward(m, loss)
    return [
        (m.steps[r.start].operator, r.nbytes)
        for r in m.records
        if r.start > first and m.steps[r.start].operator not in ("aten::expand",)
    ]


def trained(m: Machine, *shape: int) -> Tensor:
    tensor = full(m, "input", shape, "float32")
    tensor.requires_grad = True
    return tensor


def ids(m: Machine, *shape: int) -> Tensor:
    return full(m, "input", shape, "int64")


@pytest.mark.parametrize(
    ("target", "build", "wanted"),
    [
        # the gradient of x is the gradient that arrived, which the leaf copies: it is an expanded scalar
        ("aten.index_add", lambda m: (trained(m, 5, 8), 0, ids(m, 3), trained(m, 3, 8)),
         [("aten::index_select", 96), ("aten::new_empty_strided", 160)]),
        ("aten.scatter_add", lambda m: (trained(m, 5, 8), 0, ids(m, 3, 8), trained(m, 3, 8)),
         [("aten::gather", 96), ("aten::new_empty_strided", 160)]),
        ("aten.linalg_vector_norm", lambda m: (trained(m, 5, 8), 2, [-1], True),
         [("aten::div", 160), ("aten::eq", 5), ("aten::mul", 160)]),
        ("aten.sort", lambda m: (trained(m, 5, 8), 1), [("aten::value_selecting_reduction_backward", 160)]),
        ("aten.dot", lambda m: (trained(m, 8), full(m, "input", (8,), "float32")), [("aten::mul", 32)]),
        ("aten._weight_norm", lambda m: (trained(m, 5, 8), trained(m, 5, 1), 0),
         [("aten::contiguous", 160), ("aten::_weight_norm_interface_backward", 160),
          ("aten::_weight_norm_interface_backward", 20)]),
    ],
)  # fmt: skip
def test_a_backward_allocates_what_torch_was_seen_to(
    target: str, build: Callable[[Machine], tuple[object, ...]], wanted: list[tuple[str, int]]
) -> None:
    assert sorted(_made(target, build)) == sorted(wanted)


def test_no_gradient_passes_a_detach() -> None:
    m = Machine()
    with m.operator("input"):
        x = trained(m, 4)
    assert not RULES["aten.detach"](m, x).requires_grad
    assert RULES["aten.alias"](m, x).requires_grad


def test_the_gradient_of_a_divisor_is_made_before_that_of_what_it_divides() -> None:
    made = [name for name, _ in _made("aten.div", lambda m: (trained(m, 5, 8), trained(m, 5, 8)))]
    assert made == ["aten::div", "aten::div", "aten::neg", "aten::mul", "aten::div"]


def test_a_parameter_that_no_gradient_reaches_has_no_state(model: Write) -> None:
    """Of two heads the second is not in the loss; the first has 4 * 3 numbers, each with two of AdamW's."""
    path = model(f"""g (float[2, 4] x) => (float[2, 3] y, float[2, 5] z)
        <{held("float[4, 3] a", 12)}, {held("float[4, 5] b", 20)}> {{ y = MatMul(x, a) z = MatMul(x, b) }}""")
    found = graphmem.train(path, loss="sum", optimizer="adamw")
    assert found.breakdown["parameters"] == (12 + 20) * 4
    assert found.breakdown["optimizer_state"] == 2 * 12 * 4 + 4


def test_the_calls_under_a_line_of_a_cell_are_one_call(model: Write) -> None:
    line = "ret = _VF.gru_cell("
    calls = [
        typed("aten.linear.default", "i", Ref("x"), Ref("w"), Ref("b"), text=line),
        typed("aten.linear.default", "h", Ref("s"), Ref("u"), Ref("c"), text=line),
        typed("aten.add.Tensor", "y", Ref("i"), Ref("h"), text=line),
        typed("aten.linear.default", "i2", Ref("x"), Ref("w"), Ref("b"), text=line),
        typed("aten.linear.default", "h2", Ref("y"), Ref("u"), Ref("c"), text=line),
        typed("aten.add.Tensor", "z", Ref("i2"), Ref("h2"), text=line),
    ]
    made = draft(model, *calls)
    compose(made)
    assert [(c.target, c.outputs) for c in made.calls] == [("aten.gru_cell", ("y",)), ("aten.gru_cell", ("z",))]
    assert made.calls[1].args == tuple(Ref(n) for n in ("x", "y", "w", "u", "b", "c"))
