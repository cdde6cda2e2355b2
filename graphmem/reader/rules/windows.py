"""Pools and transposed convolutions -> the sizes that runtimes compute, where ONNX's inference gives others.

n elements, k the kernel's reach over dilations d, s stride, p padding (head + tail):

    floor    (n + p - d * (k - 1) - 1) // s + 1
    ceil     the same rounded up, less a last window that starts in the tail's padding or beyond it; in onnxruntime and
             PyTorch whatever the opset, in the operators' text since opset 22 (onnx PR 5741)
    VALID    no padding; ceil_mode rounds up here too, which the operators' text does not
    SAME_*   ceil(n / s), whatever ceil_mode
    transposed   (n - 1) * s + output_padding + d * (k - 1) + 1 - p; SAME_* pads so that n * s is left, not by less than
             nothing; output_shape is what it says

Source: onnxruntime/core/providers/cpu/nn/pool_attributes.h, conv_transpose_attributes.h.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphmem.ir.types import Shape, TensorType, Type
from graphmem.reader.rules.call import Call, OpenError, Rule, Table


def pooled(call: Call, shape: Shape, *, ignores_dilations: bool = False) -> Shape:
    """The shape (N, C, ...) that a pool makes of such a shape; with `ignores_dilations` as onnxruntime's kernels do.

    Under SAME_* those kernels pad for a window without its dilations, so that fewer fit than the text says.
    """
    batch, channels, *space = shape
    kernel = call.ints("kernel_shape")
    ones = (1,) * len(space)
    strides, dilations = call.ints("strides", ()) or ones, call.ints("dilations", ()) or ones
    pads = call.ints("pads", ()) or (0,) * (2 * len(space))
    if not len(space) == len(kernel) == len(strides) == len(dilations) == len(pads) // 2:
        raise OpenError("ranks")
    auto, rounds_up = call.text("auto_pad", "NOTSET"), bool(call.int_("ceil_mode", 0))
    sizes = []
    for axis, (n, k, s, d) in enumerate(zip(space, kernel, strides, dilations, strict=True)):
        if min(k, s, d) < 1:
            raise OpenError("window")
        reach = d * (k - 1) + 1
        if auto.startswith("SAME") and not ignores_dilations:
            sizes.append(-(-n // s))
            continue
        head, tail = (0, 0) if auto == "VALID" else (pads[axis], pads[axis + len(space)])
        if auto.startswith("SAME"):
            pad = (-(-n // s) - 1) * s + k - n  # below nothing where the window is shorter than the stride
            head = max(0, (pad + 1) // 2 if auto == "SAME_LOWER" else pad // 2)
            tail = pad - head
        sizes.append(_windows(n, head, tail, reach, s, rounds_up=rounds_up))
    return (batch, channels, *_positive(sizes))


def _windows(n: int, head: int, tail: int, reach: int, stride: int, *, rounds_up: bool) -> int:
    """Windows along one axis."""
    room = n + head + tail - reach
    if not rounds_up:
        return (room // stride if room >= 0 else -(-room // stride)) + 1  # towards zero, as C++ divides
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= n + head else count


def _positive(sizes: Sequence[int]) -> Shape:
    if min(sizes, default=1) < 0:
        raise OpenError("a window larger than its input")
    return tuple(sizes)


def pool(call: Call) -> list[Type]:
    """MaxPool, AveragePool, LpPool: the pooled input, and of MaxPool the places of what it took."""
    x = call.tensor(0)
    shape = pooled(call, x.shape)
    return [TensorType(x.dtype, shape), TensorType("int64", shape)]


def pool_of_runtime(call: Call) -> list[Type]:
    """The same as onnxruntime's kernels do it, dilations under SAME_* included."""
    x = call.tensor(0)
    shape = pooled(call, x.shape, ignores_dilations=True)
    return [TensorType(x.dtype, shape), TensorType("int64", shape)]


def transposed(call: Call) -> list[Type]:
    """ConvTranspose of X (N, C, ...) and W (C, filters per group, kernel...)."""
    x, w = call.tensor(0), call.tensor(1)
    batch, _, *space = x.shape
    rank = len(space)
    kernel = call.ints("kernel_shape", ()) or w.shape[2:]
    strides, dilations = (call.ints(name, ()) or (1,) * rank for name in ("strides", "dilations"))
    adjust = call.ints("output_padding", ()) or (0,) * rank
    pads = call.ints("pads", ()) or (0,) * (2 * rank)
    filters = w.shape[1] * call.int_("group", 1)
    stated = call.ints("output_shape", ())
    if stated:
        sizes = stated[-rank:]
    else:
        auto = call.text("auto_pad", "NOTSET")
        sizes = tuple(
            _spread(n, k, s, d, o, (a + b) if auto == "NOTSET" else 0, is_same=auto.startswith("SAME"))
            for n, k, s, d, o, a, b in zip(
                space, kernel, strides, dilations, adjust, pads[:rank], pads[rank:], strict=True
            )
        )
    if len(sizes) != rank:
        raise OpenError("output_shape")
    return [TensorType(x.dtype, (batch, filters, *_positive(sizes)))]


def _spread(n: int, k: int, s: int, d: int, adjust: int, pads: int, *, is_same: bool) -> int:
    full = (n - 1) * s + adjust + d * (k - 1) + 1
    return min(full, n * s) if is_same else full - pads


def has_dilated_same(call: Call) -> bool:
    """True for SAME_* with dilations, where onnxruntime's kernels leave the text."""
    return call.text("auto_pad", "NOTSET").startswith("SAME") and bool(set(call.ints("dilations", ())) - {1})


_POOLS = ("AveragePool", "LpPool", "MaxPool")
# What runtimes agree in, against ONNX's inference.
RULES: Table = {**dict.fromkeys(_POOLS, pool), "ConvTranspose": transposed}
# What onnxruntime alone does.
OF_RUNTIME: dict[str, Rule] = dict.fromkeys(_POOLS, pool_of_runtime)
