"""Recurrent cells: one step each, as the CPU runs it inside of one operator (aten/src/ATen/native/RNN.cpp, torch 2.13).

LSTMCell, GRUCell and RNNCell call them by themselves, layers step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from graphmem.autograd import ops
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import RULES, rule
from graphmem.autograd.rules.pairs import mul
from graphmem.autograd.rules.products import linear
from graphmem.autograd.tensor import Node, Tensor

FUSED = "a fused kernel, whose workspace of all gates is counted as the tensors of the CPU's cell"


def lstm_step(
    m: Machine, gate: Tensor, hidden: Tensor, cell: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """One step of an LSTM whose input gates are computed: hidden and cell state."""
    with m.scope() as kept:
        parts = _chunks(m, _add_over(m, linear(m, hidden, weight, bias), gate), 4)
        enter, forget, new, leave = (
            _saturate(m, part, name)
            for part, name in zip(parts, ("sigmoid", "sigmoid", "tanh", "sigmoid"), strict=True)
        )
        state = _add_over(m, mul(m, forget, cell), mul(m, enter, new))
        out = mul(m, leave, RULES["aten.tanh"](m, state))
        kept += [out, state]
    return out, state


def _chunks(m: Machine, x: Tensor, parts: int = 3) -> list[Tensor]:
    """unsafe_chunk(parts, 1): views that may be written in place."""
    size = x.shape[1] // parts
    outs = [m.alias(x, (x.shape[0], size), x.strides) for _ in range(parts)]
    shape = x.shape

    def back(m: Machine, _n: Node, *grads: Tensor | None) -> Tensor:
        del grads
        return ops.full(m, "aten::cat", shape, x.dtype)

    m.record("UnsafeSplitBackward0", [x], outs, back)
    return outs


def _over(m: Machine, x: Tensor, title: str, others: list[Tensor], back: Any, saves: list[Tensor]) -> Tensor:
    """An in-place operation on x; `saves` may hold the result itself as x."""
    out = m.alias(x, x.shape, x.strides)
    m.record(title, [x, *others], [out], back, saves)
    return out


def _add_over(m: Machine, x: Tensor, y: Tensor) -> Tensor:
    return _over(m, x, "AddBackward0", [y], lambda m, _n, g: (g, g), [])


def _mul_over(m: Machine, x: Tensor, y: Tensor) -> Tensor:
    """x *= y saves y, and a copy of x as it was."""
    with m.operator("aten::clone"):
        before = m.empty(x.shape, x.dtype)

    def back(m: Machine, n: Node, g: Tensor) -> list[Tensor | None]:
        return [ops.pointwise(m, "aten::mul", g, t) if n.needs(i) else None for i, t in enumerate((y, before))]

    return _over(m, x, "MulBackward0", [y], back, [y, before])


def _saturate(m: Machine, x: Tensor, name: str) -> Tensor:
    label = f"aten::{name}_backward"
    return _over(m, x, f"{name.capitalize()}Backward0", [], lambda m, _n, g: ops.pointwise(m, label, g, x), [x])


def gru_step(m: Machine, gate: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """One step of a GRU whose input gates are computed."""
    with m.scope() as kept:
        inner = _chunks(m, gate)
        outer = _chunks(m, linear(m, hidden, weight, bias))
        reset = _saturate(m, _add_over(m, outer[0], inner[0]), "sigmoid")
        update = _saturate(m, _add_over(m, outer[1], inner[1]), "sigmoid")
        scaled = _mul_over(m, outer[2], reset)
        added = ops.pointwise(m, "aten::add", inner[2], scaled)
        m.record("AddBackward0", [inner[2], scaled], [added], lambda m, _n, g: (g, g))
        new = _saturate(m, added, "tanh")
        rest = ops.pointwise(m, "aten::sub", hidden, new)
        m.record("SubBackward0", [hidden, new], [rest], lambda m, _n, g: (g, ops.pointwise(m, "aten::neg", g)))
        kept.append(_add_over(m, _mul_over(m, rest, update), new))
    return kept[0]


def plain_step(name: str) -> Callable[..., Tensor]:
    """One step of a plain recurrent layer with that activation."""
    backward = {"tanh": "tanh_backward", "relu": "threshold_backward"}[name]

    def run(m: Machine, gate: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        with m.scope() as kept:
            added = _add_over(m, linear(m, hidden, weight, bias), gate)
            out = ops.pointwise(m, f"aten::{name}", added)
            m.record(
                f"{name.capitalize()}Backward0", [added], [out],
                lambda m, _n, g: ops.pointwise(m, f"aten::{backward}", g, out), [out],
            )  # fmt: skip
            kept.append(out)
        return out

    return run


@rule("aten.gru_cell")
def gru_cell(m: Machine, x: Tensor, hidden: Tensor, *weights: Tensor) -> Tensor:
    """Weights of the input and of the hidden state, then their biases, where there are any."""
    with _cell(m, "aten::gru_cell"):
        return gru_step(m, _gates(m, x, weights), hidden, weights[1], _bias(weights, 3))


@rule("aten.lstm_cell")
def lstm_cell(m: Machine, x: Tensor, states: Sequence[Tensor], *weights: Tensor) -> list[Tensor]:
    """Hidden and cell state."""
    with _cell(m, "aten::lstm_cell"):
        return list(lstm_step(m, _gates(m, x, weights), states[0], states[1], weights[1], _bias(weights, 3)))


def _plain_rule(name: str) -> None:
    def run(m: Machine, x: Tensor, hidden: Tensor, *weights: Tensor) -> Tensor:
        with _cell(m, f"aten::rnn_{name}_cell"):
            return plain_step(name)(m, _gates(m, x, weights), hidden, weights[1], _bias(weights, 3))

    rule(f"aten.rnn_{name}_cell")(run)


for _name in ("tanh", "relu"):
    _plain_rule(_name)


def _cell(m: Machine, name: str) -> AbstractContextManager[None]:
    if m.device == "cuda":
        m.guessed[name] = FUSED
    return m.operator(name)


def _gates(m: Machine, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    return linear(m, x, weights[0], _bias(weights, 2))


def _bias(weights: Sequence[Tensor], place: int) -> Tensor | None:
    return weights[place] if place < len(weights) else None
