"""Node -> workspace of ONNX Runtime's convolutions and recurrent layers on the CPU.

Sources: mlas/lib/convolve.cpp, conv_transpose.cc; uni_directional_lstm.cc, deep_cpu_gru.cc, rnn.cc.
"""

from __future__ import annotations

from math import prod

from graphmem.ort.kernels.kernel import FLOAT, Kernel, Rules, aligned, floats

SEGMENT = 64 * 256 * FLOAT  # MLAS_CONV_WORKING_BUFFER_SIZE_PER_THREAD


def conv(kernel: Kernel) -> int:
    """An unrolled input, whole where there are more filters than output pixels, else 64 KiB of it at a time."""
    filters, pixels = kernel.input(1).shape, prod(kernel.output(0).shape[2:])
    if _is_pointwise(kernel):
        return 0
    if filters[0] // kernel.integer("group", 1) > pixels:
        return floats(prod(filters[1:]), pixels)
    return SEGMENT


def _is_pointwise(kernel: Kernel) -> bool:
    """True when each output pixel depends on one input pixel, in order: a plain matrix product."""
    ones = all(dim == 1 for dim in kernel.input(1).shape[2:])
    strides = all(stride == 1 for stride in kernel.attributes.get("strides", ()))
    return ones and strides and kernel.input(0).shape[2:] == kernel.output(0).shape[2:]


def conv_transpose(kernel: Kernel) -> int:
    """The columns of one group of one image: filter elements by input pixels."""
    weights = kernel.input(1).shape
    return floats(prod(weights[1:]), *kernel.input(0).shape[2:])


RULES: Rules = {
    ("", "Conv"): conv,
    ("com.microsoft", "FusedConv"): conv,
    ("", "ConvTranspose"): conv_transpose,
}


def _sizes(kernel: Kernel) -> tuple[int, int, int, int, int]:
    """(steps, batch, input width, hidden width, directions); `layout` 1 puts the batch first."""
    x = kernel.input(0).shape
    steps, batch = (x[1], x[0]) if kernel.integer("layout", 0) else (x[0], x[1])
    recurrent = kernel.input(2).shape
    return steps, batch, x[2], kernel.integer("hidden_size", recurrent[2]), recurrent[0]


def _reversed_directions(kernel: Kernel) -> int:
    return int(kernel.attributes.get("direction", "forward") in ("reverse", "bidirectional"))


def lstm(kernel: Kernel) -> int:
    """State, gates, biases and lengths of every direction at once; reversed copies; states nobody asked for."""
    steps, batch, width, hidden, directions = _sizes(kernel)
    one = 2 * floats(hidden) + 3 * floats(batch, hidden) + floats(steps, batch, 4, hidden)
    one += 4 * floats(hidden) if kernel.has_input(3) else 0
    one += 3 * floats(hidden) if kernel.has_input(7) else 0
    one += 0 if kernel.has_input(4) else floats(batch)
    copies = floats(steps, batch, width) + floats(steps, batch, hidden)
    states = sum(floats(directions, batch, hidden) for i in (1, 2) if not kernel.has_output(i))
    return directions * one + _reversed_directions(kernel) * copies + states


def quantized_lstm(kernel: Kernel) -> int:
    """As for LSTM, and of every direction the input in 8 bits and one step's gates in 32."""
    steps, batch, width, _, directions = _sizes(kernel)
    gates = floats(batch, 4, kernel.integer("hidden_size", 0))
    return lstm(kernel) + directions * (aligned(steps * batch * width) + gates)


def gru(kernel: Kernel) -> int:
    """As for LSTM with three gates; applying the weights before the reset keeps that product apart."""
    steps, batch, width, hidden, directions = _sizes(kernel)
    before_reset = kernel.integer("linear_before_reset", 0)
    rows = 2 + before_reset
    if kernel.has_input(3):
        rows += 3 + before_reset
    one = rows * floats(batch, hidden) + floats(steps, batch, 3, hidden)
    one += 0 if kernel.has_input(4) else floats(batch)
    copies = floats(steps, batch, width) + floats(steps, batch, hidden)
    state = 0 if kernel.has_output(1) else floats(directions, batch, hidden)
    return directions * one + _reversed_directions(kernel) * copies + state


def rnn(kernel: Kernel) -> int:
    """The input product of one direction at a time, and the sequence if nobody asked for it."""
    steps, batch, _, hidden, directions = _sizes(kernel)
    sequence = 0 if kernel.has_output(0) else floats(steps, directions, batch, hidden)
    return floats(steps, batch, hidden) + sequence


RECURRENT: Rules = {
    ("", "LSTM"): lstm,
    ("", "GRU"): gru,
    ("", "RNN"): rnn,
    ("com.microsoft", "DynamicQuantizeLSTM"): quantized_lstm,
}
