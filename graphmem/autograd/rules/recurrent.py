"""LSTM and GRU. Source: aten/src/ATen/native/RNN.cpp, mkldnn/RNN.cpp of torch 2.13."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphmem.autograd import ops
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import rule
from graphmem.autograd.tensor import Node, Tensor


@rule("aten.lstm", "aten.gru", "aten.rnn_tanh", "aten.rnn_relu")
def recurrent(
    m: Machine, x: Tensor, state: Any, weights: Sequence[Tensor], has_biases: bool, layers: int, drop: float,
    train: bool, bidirectional: bool, batch_first: bool,
) -> list[Tensor]:  # fmt: skip
    """To be refined per backend."""
    states = list(state) if isinstance(state, list | tuple) else [state]
    hidden = weights[1].shape[1]
    steps, batch = (x.shape[1], x.shape[0]) if batch_first else x.shape[:2]
    width = hidden * (2 if bidirectional else 1)
    out = m.empty((batch, steps, width) if batch_first else (steps, batch, width), x.dtype)
    finals = [m.empty(s.shape, s.dtype) for s in states]
    inputs = [x, *states, *weights]

    def back(m: Machine, n: Node, *_: Tensor | None) -> list[Tensor | None]:
        return [ops.like(m, "aten::rnn_backward", t) if n.needs(i) else None for i, t in enumerate(inputs)]

    m.record("RnnBackward0", inputs, [out, *finals], back, [*inputs, out, *finals])
    del has_biases, layers, drop, train
    return [out, *finals]
