"""LSTM, GRU and plain recurrent layers, layer by layer and direction by direction.

Sources: aten/src/ATen/native/RNN.cpp and mkldnn/RNN.cpp of torch 2.13; the workspace of oneDNN's LSTM from its
rnn_utils (sizes of its sections, each rounded up to a page), which agrees with oneDNN on 372 measured sizes in float32
and 60 in bfloat16. What cuDNN keeps is not published: its reserve is a lower bound and raises an issue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from graphmem.autograd import ops
from graphmem.autograd import strides as st
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import rule
from graphmem.autograd.rules.cells import gru_step, lstm_step, plain_step
from graphmem.autograd.rules.elementwise import dropout
from graphmem.autograd.rules.pieces import cat, stack, unbind
from graphmem.autograd.rules.products import linear
from graphmem.autograd.tensor import Node, Tensor, itemsize

Weights: TypeAlias = Sequence[Tensor]
Direction: TypeAlias = Callable[[Machine, Tensor, list[Tensor], Weights], tuple[Tensor, list[Tensor]]]

PAGE = 4096


def lstm_workspace(steps: int, batch: int, width: int, hidden: int, item: int = 4) -> int:
    """Bytes of oneDNN's workspace of one LSTM layer and direction in training, of elements of `item` bytes (4 or 2)."""

    def aligned(size: int, item: int) -> int:
        line = 64 // item
        rounded = -(-size // line) * line
        return rounded + line if rounded % 256 == 0 else rounded

    def section(rows: int, columns: int, item: int) -> int:
        return -(-rows * batch * columns * item // PAGE) * PAGE

    rows, widest = 2 * (steps + 1), max(width, hidden)
    gates = section(steps, aligned(4 * hidden, item), item) + section(steps, aligned(hidden, item), item)
    states = section(rows, aligned(widest, item), item) + 2 * section(rows, aligned(widest, 4), 4)
    return gates + states + section(rows, hidden, item) + section(rows, hidden, 4)


@rule("aten.mkldnn_rnn_layer")
def _mkldnn_layer(m: Machine, x: Tensor, state: list[Tensor], weights: Weights) -> list[Tensor]:
    steps, batch, width = x.shape
    hidden = weights[1].shape[1]
    out = m.empty((steps, batch, hidden), x.dtype)
    last = [m.empty((batch, hidden), x.dtype) for _ in range(2)]
    with m.scope():
        m.empty((4 * hidden,), x.dtype)
    workspace = m.empty((lstm_workspace(steps, batch, width, hidden, itemsize(x.dtype)),), "uint8")
    inputs = [x, *state, *weights]

    def back(m: Machine, _n: Node, *_grads: Tensor | None) -> list[Tensor | None]:
        with m.operator("aten::mkldnn_rnn_layer_backward"):
            return [m.empty(t.shape, "float32") for t in inputs]  # the engine casts those that are wanted

    m.record("MkldnnRnnLayerBackward0", inputs, [out, *last], back, [*inputs, out, *last, workspace])
    return [out, *last]


def _lstm_cpu(m: Machine, x: Tensor, state: list[Tensor], weights: Weights) -> tuple[Tensor, list[Tensor]]:
    """oneDNN, but in float16, which it has no training for without the instructions of few processors."""
    if x.dtype == "float16":
        return _lstm_steps(m, x, state, weights)
    if m.autocast is not None and m.autocast.dtype == "float16":
        m.guessed["aten::mkldnn_rnn_layer"] = "most processors refuse an LSTM in float16 under autocast"
    out, *last = _mkldnn_layer(m, x, state, list(weights))
    return out, last


def _lstm_steps(m: Machine, x: Tensor, state: list[Tensor], weights: Weights) -> tuple[Tensor, list[Tensor]]:
    bias_in, bias_hidden = (weights[2], weights[3]) if len(weights) > 2 else (None, None)
    hidden, cell = state
    outputs = []
    for gate in unbind(m, linear(m, x, weights[0], bias_in), 0):
        hidden, cell = lstm_step(m, gate, hidden, cell, weights[1], bias_hidden)
        outputs.append(hidden)
    return stack(m, outputs, 0), [hidden, cell]


def _steps(cell: Callable[..., Tensor]) -> Direction:
    """A direction that computes all input gates at once, then walks over the steps with `cell`."""

    def run(m: Machine, x: Tensor, state: list[Tensor], weights: Weights) -> tuple[Tensor, list[Tensor]]:
        bias_in, bias_hidden = (weights[2], weights[3]) if len(weights) > 2 else (None, None)
        gates = unbind(m, linear(m, x, weights[0], bias_in), 0)
        hidden, outputs = state[0], []
        for gate in gates:
            hidden = cell(m, gate, hidden, weights[1], bias_hidden)
            outputs.append(hidden)
        return stack(m, outputs, 0), [hidden]

    return run


def _stacked(
    m: Machine, x: Tensor, states: list[Tensor], weights: Weights, direction: Direction, has_biases: bool, layers: int,
    drop: float, train: bool, bidirectional: bool, batch_first: bool,
) -> list[Tensor]:  # fmt: skip
    """Layers of one or two directions; a batch-first input is turned (and copied where the layer needs that)."""
    del train
    ways, per = 2 if bidirectional else 1, 4 if has_biases else 2
    per = len(weights) // (layers * ways) if len(weights) % (layers * ways) == 0 else per
    flow = ops.transpose(m, x, 0, 1) if batch_first else x
    if direction is _lstm_cpu and flow.dtype != "float16":
        flow = ops.contiguous(m, flow)
    first = [unbind(m, s, 0) for s in states]
    finals: list[list[Tensor]] = [[] for _ in states]
    for layer in range(layers):
        outputs = []
        for way in range(ways):
            place = layer * ways + way
            own = weights[place * per : (place + 1) * per]
            out, last = direction(m, flow, [s[place] for s in first], own)
            outputs.append(out)
            for rows, tensor in zip(finals, last, strict=True):
                rows.append(tensor)
        flow = cat(m, outputs, 2) if ways == 2 else outputs[0]
        if drop and layer < layers - 1:  # the step trains, whatever the mode of the export
            flow = dropout(m, flow, drop, True)
    ends = [stack(m, rows, 0) for rows in finals]
    return [ops.transpose(m, flow, 0, 1) if batch_first else flow, *ends]


@rule("aten.lstm")
def lstm(m: Machine, x: Tensor, states: list[Tensor], weights: Weights, *rest: Any) -> list[Tensor]:
    """CPU: oneDNN, which keeps a workspace. CUDA: cuDNN, which keeps four gates and a state per cell or more."""
    if m.device == "cuda":
        return _cudnn(m, x, states, weights, 5, *rest)
    return _stacked(m, x, states, weights, _lstm_cpu, *rest)


@rule("aten.gru")
def gru(m: Machine, x: Tensor, state: Tensor, weights: Weights, *rest: Any) -> list[Tensor]:
    """CPU: five small tensors per step. CUDA: cuDNN, which keeps four values per cell or more."""
    if m.device == "cuda":
        return _cudnn(m, x, [state], weights, 4, *rest)
    return _stacked(m, x, [state], weights, _steps(gru_step), *rest)


@rule("aten.rnn_tanh", "aten.rnn_relu")
def rnn_tanh(m: Machine, x: Tensor, state: Tensor, weights: Weights, *rest: Any) -> list[Tensor]:
    """CPU: one tensor per step. CUDA: cuDNN, which can do with the outputs."""
    if m.device == "cuda":
        return _cudnn(m, x, [state], weights, 0, *rest)
    return _stacked(m, x, [state], weights, _steps(plain_step("tanh")), *rest)


def _cudnn(
    m: Machine, x: Tensor, states: list[Tensor], weights: Weights, values: int, has_biases: bool, layers: int,
    drop: float, train: bool, bidirectional: bool, batch_first: bool,
) -> list[Tensor]:  # fmt: skip
    """One fused call; cuDNN's reserve is counted as `values` per cell and step and the outputs of the inner layers."""
    del has_biases, drop, train
    ways, hidden = 2 if bidirectional else 1, weights[1].shape[1]
    steps, batch = (x.shape[1], x.shape[0]) if batch_first else x.shape[:2]
    flat = ops.contiguous(m, ops.transpose(m, x, 0, 1)) if batch_first else x
    packed = m.empty((sum(w.elements for w in weights),), x.dtype)
    out = m.empty((steps, batch, hidden * ways), x.dtype)
    ends = [m.empty(s.shape, s.dtype) for s in states]
    cells = steps * batch * hidden * ways
    reserve = m.empty((cells * (layers * values + layers - 1) * itemsize(x.dtype),), "uint8")
    m.guessed["aten::_cudnn_rnn"] = (
        "the reserve of cuDNN is not known: counted with what its backward needs, gates, states and inner outputs"
    )
    inputs = [flat, *states, *weights]

    def back(m: Machine, n: Node, *_: Tensor | None) -> list[Tensor | None]:
        with m.operator("aten::_cudnn_rnn_backward"):
            made: list[Tensor | None] = [m.empty(t.shape, t.dtype) for t in inputs[: 1 + len(states)]]
            whole = m.empty(packed.shape, packed.dtype)
            return [*made, *(m.alias(whole, w.shape, st.contiguous(w.shape)) for w in weights)]

    m.record("CudnnRnnBackward0", inputs, [out, *ends], back, [*inputs, packed, out, reserve])
    return [ops.transpose(m, out, 0, 1) if batch_first else out, *ends]
