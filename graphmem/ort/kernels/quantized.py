"""Workspace of ONNX Runtime's quantized kernels on the CPU (qlinearconv.cc, quantize_linear_matmul.cc, ...)."""

from __future__ import annotations

from math import prod

from graphmem.ort.kernels.kernel import POINTER, Kernel, Rules, aligned, floats


def product(kernel: Kernel) -> int:
    """QLinearMatMul and QGemm: the 32-bit result before it is quantized."""
    return floats(kernel.output(0).elements)


def quantized_input(kernel: Kernel) -> int:
    """DynamicQuantizeMatMul: the first input in 8 bits."""
    return aligned(kernel.input(0).elements)


def columns(kernel: Kernel) -> int:
    """ConvInteger: one group's unrolled input, in 8 bits."""
    return aligned(prod(kernel.input(1).shape[1:]) * prod(kernel.output(0).shape[2:]))


def qlinear_conv(kernel: Kernel) -> int:
    """Channels last and back, then pointers to input pixels, or columns and a 32-bit result (qlinearconv.cc)."""
    x, w, y = kernel.input(0).shape, kernel.input(3).shape, kernel.output(0).shape
    group, is_last = kernel.integer("group", 1), bool(kernel.integer("channels_last", 0))
    pixels = prod(y[1:-1] if is_last else y[2:])
    swap = 0 if is_last else aligned(prod(x[1:])) + aligned(w[0] * pixels)
    taps = prod(w[2:])
    strided = any(stride != 1 for stride in kernel.attributes.get("strides", ()))
    padded = any(pad != 0 for pad in kernel.attributes.get("pads", ()))
    is_direct = taps == 1 and not strided and not padded
    is_depthwise = group == w[0] and w[1] == 1
    pointers = aligned(POINTER * taps * pixels)
    if _is_symmetric(kernel, group, w):
        return swap + (0 if is_direct else pointers)
    result = floats(w[0], pixels)
    if is_depthwise:
        return swap + result + pointers
    return swap + result + (0 if is_direct else aligned(prod(w[1:]) * pixels))


def _is_symmetric(kernel: Kernel, group: int, w: tuple[int, ...]) -> bool:
    """True where MLAS has a kernel that needs no 32-bit result: signed constant weights, channels in full vectors."""
    if 3 not in kernel.constant or (kernel.input(0).dtype, kernel.input(3).dtype) != ("uint8", "int8"):
        return False
    if group == w[0] and w[1] == 1:
        return w[0] % 16 == 0
    return group == 1 and w[1] % 4 == 0 and w[0] % 8 == 0 and w[0] >= 16


def average_pool(kernel: Kernel) -> int:
    """QLinearAveragePool: the input in 32 bits."""
    return floats(kernel.input(0).elements)


def max_pool(kernel: Kernel) -> int:
    """NhwcMaxPool: a pointer per tap of each output pixel of one image."""
    taps = prod(kernel.attributes.get("kernel_shape", ()))
    return aligned(POINTER * taps * prod(kernel.output(0).shape[1:-1]))


def softmax(kernel: Kernel) -> tuple[int, ...]:
    """QLinearSoftmax: transposed there and back where the axis is not the last, from (its attribute) opset 13 on."""
    is_last = kernel.integer("axis", -1) in (-1, len(kernel.input(0).shape) - 1)
    return () if is_last or kernel.integer("opset", 0) < 13 else 2 * (aligned(kernel.output(0).nbytes),)


# MLAS packs 8-bit matrices in a buffer of the thread's, by the types of both; x86-64 with AVX-512 VNNI.
_PACKING = {("uint8", "int8"): 38_016, ("uint8", "uint8"): 41_088, ("int8", "int8"): 19_520, ("int8", "uint8"): 19_520}
# Operator -> the inputs that are the two matrices; None for one that is quantized on the way.
_PRODUCTS: dict[str, tuple[int | None, int]] = {
    "QLinearMatMul": (0, 3), "QGemm": (0, 3), "MatMulInteger": (0, 1), "MatMulIntegerToFloat": (0, 1),
    "DynamicQuantizeMatMul": (None, 1), "DynamicQuantizeLSTM": (None, 1), "QLinearConv": (0, 3), "ConvInteger": (1, 0),
    "QAttention": (0, 1),
}  # fmt: skip


def packing(domain: str, kernel: Kernel) -> int:
    """Bytes of the thread's packing buffer that the node needs; 0 when it multiplies no 8-bit matrices."""
    if domain not in ("", _MICROSOFT) or kernel.op_type not in _PRODUCTS:
        return 0
    first, second = _PRODUCTS[kernel.op_type]
    try:
        if kernel.op_type == "QLinearConv" and not _multiplies(kernel):
            return 0
        a = "uint8" if first is None else kernel.input(first).dtype
        return _PACKING.get((a, kernel.input(second).dtype), 0)
    except KeyError:
        return 0


def _multiplies(kernel: Kernel) -> bool:
    """False for the convolutions that MLAS does without a matrix product."""
    w, group = kernel.input(3).shape, kernel.integer("group", 1)
    return not _is_symmetric(kernel, group, w) and not (group == w[0] and w[1] == 1)


_MICROSOFT = "com.microsoft"
RULES: Rules = {
    ("", "QLinearMatMul"): product,
    (_MICROSOFT, "QGemm"): product,
    (_MICROSOFT, "DynamicQuantizeMatMul"): quantized_input,
    ("", "ConvInteger"): columns,
    ("", "QLinearConv"): qlinear_conv,
    (_MICROSOFT, "QLinearConv"): qlinear_conv,
    (_MICROSOFT, "QLinearAveragePool"): average_pool,
    (_MICROSOFT, "NhwcMaxPool"): max_pool,
    (_MICROSOFT, "QLinearSoftmax"): softmax,
}
