"""Workspace of ONNX Runtime's convolutions on the CPU (mlas/lib/convolve.cpp, conv_transpose.cc)."""

from __future__ import annotations

from math import prod

from graphmem.ops.ort_kernel import FLOAT, Kernel, Rules, floats

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
