"""Workspace of ONNX Runtime's element-wise, normalization and resampling kernels on the CPU."""

from __future__ import annotations

from itertools import pairwise
from math import ceil, prod

from graphmem.ort.kernels.kernel import FLOAT, Kernel, Rules, aligned, broadcast, floats


def where(kernel: Kernel) -> tuple[int, ...]:
    """Two selections, of the condition broadcast with each branch, joined afterwards (where_op.cc)."""
    condition, width = kernel.input(0).shape, kernel.output(0).nbytes // max(1, kernel.output(0).elements)
    return tuple(aligned(width * prod(broadcast(condition, kernel.input(i).shape))) for i in (1, 2))


def variadic(kernel: Kernel) -> int:
    """Sum, Min, Max, Mean of three or more: a running result beside the next one (element_wise_ops.cc)."""
    if len(kernel.inputs) < 3:
        return 0
    result = kernel.output(0)
    width = result.nbytes // max(1, result.elements)
    shape, partial = kernel.input(0).shape, []
    for i in range(1, len(kernel.inputs)):
        shape = broadcast(shape, kernel.input(i).shape)
        partial.append(aligned(width * prod(shape)))
    return max(a + b for a, b in pairwise(partial)) - partial[-1]


def softmax(kernel: Kernel) -> tuple[int, ...]:
    """From opset 13 on, any axis but the last is transposed there and back."""
    rank = len(kernel.input(0).shape)
    axis = kernel.integer("axis", -1)
    return 2 * (aligned(kernel.output(0).nbytes),) if kernel.opset >= 13 and axis not in (-1, rank - 1) else ()


def lrn(kernel: Kernel) -> tuple[int, ...]:
    """The squares of the whole input and one image's, padded by the window (lrn.cc)."""
    x = kernel.input(0)
    padded = x.shape[1] + kernel.integer("size", 1) - 1
    return aligned(x.nbytes), floats(padded, *x.shape[2:])


def biased(kernel: Kernel) -> int:
    """One more buffer of the output's size when a bias is added first."""
    return aligned(kernel.output(0).nbytes) if kernel.has_input(1) else 0


def layer_norm(kernel: Kernel) -> int:
    """Half-precision scale and bias that are no weights are widened in every run."""
    if kernel.input(0).dtype != "float16":
        return 0
    given = [i for i in (1, 2) if kernel.has_input(i) and i not in kernel.constant]
    return sum(floats(kernel.input(i).elements) for i in given)


def skip_layer_norm(kernel: Kernel) -> int:
    """In half precision everything that is no weight is widened: inputs, output, and the sum if it is asked for."""
    if kernel.input(0).dtype != "float16":
        return 0
    given = [i for i in range(5) if kernel.has_input(i) and i not in kernel.constant]
    widened = sum(floats(kernel.input(i).elements) for i in given)
    return widened + floats(kernel.output(0).elements) * (1 + kernel.has_output(3))


def batch_norm(kernel: Kernel) -> int:
    """Training keeps the mean and the variance of the batch."""
    x = kernel.input(0)
    width = x.nbytes // max(1, x.elements)
    return 2 * aligned(width * x.shape[1]) if kernel.has_output(1) else 0


def resize(kernel: Kernel) -> int:
    """Tables of neighbours and their weights, one row per output coordinate (upsample.cc)."""
    source, target = kernel.input(0).shape, kernel.output(0).shape
    mode = kernel.attributes.get("mode", "nearest")
    if kernel.integer("antialias", 0) and mode in ("linear", "cubic"):
        return _antialiased(source, target, 1 if mode == "linear" else 2)
    if mode != "linear" or source == target:
        return 0
    if len(target) in (2, 4):
        planar = target[-2:] if len(target) == 2 or source[:2] == target[:2] else target[1:3]
        return aligned(4 * FLOAT * sum(planar))  # two indices and two weights
    if len(target) in (3, 5):
        return aligned(6 * FLOAT * sum(target[-3:]))  # likewise, and offsets
    return 0


def _antialiased(source: tuple[int, ...], target: tuple[int, ...], support: int) -> int:
    """A table per axis, one weight per source pixel within reach, and an image resized along one axis."""
    tables = 0
    for old, new in zip(source[-2:], target[-2:], strict=True):
        reach = support * max(1.0, old / new)
        tables += floats(new, 2 * ceil(reach) + 1)
    return tables + floats(*source[1:-1], target[-1])


def dft(kernel: Kernel) -> int:
    """Bluestein's algorithm where the length is no power of two: four sequences of at least twice that (dft.cc)."""
    axis = kernel.integer("axis", 1) if kernel.opset < 20 else int(kernel.values.get(2, -2))
    length = kernel.input(0).shape[axis]
    if length & (length - 1) == 0:
        return 0
    return 4 * aligned(2 * FLOAT * (1 << (2 * length - 2).bit_length()))


_MICROSOFT = "com.microsoft"
RULES: Rules = {
    ("", "Where"): where,
    **{("", op_type): variadic for op_type in ("Sum", "Min", "Max", "Mean")},
    **{("", op_type): softmax for op_type in ("Softmax", "LogSoftmax", "Hardmax")},
    ("", "LRN"): lrn,
    **{("", f"{kind}Normalization"): layer_norm for kind in ("Layer", "SimplifiedLayer", "RMS")},
    **{(_MICROSOFT, f"Skip{kind}Normalization"): skip_layer_norm for kind in ("Layer", "SimplifiedLayer")},
    ("", "BatchNormalization"): batch_norm,
    ("", "Resize"): resize,
    ("", "Upsample"): resize,
    ("", "DFT"): dft,
    **{(_MICROSOFT, op_type): biased for op_type in ("BiasGelu", "FastGelu")},
}
