"""Workspace of ONNX Runtime's attention kernels on the CPU (contrib_ops/cpu/bert, cpu/llm/attention.cc)."""

from __future__ import annotations

from math import prod

from graphmem.ops.ort_kernel import Kernel, Rules, aligned, floats

L2_CACHE = 1 << 20  # bytes; the flash kernel sizes its blocks by the machine's second-level cache
PER_HEAD = 64  # bytes that the unfused kernel keeps for each head of each batch row


def flash(steps: int, total: int, head: int, value_head: int) -> int:
    """Blocks of scores and results of one thread (mlas FlashAttention)."""
    widths = head + value_head
    keys = max(1, L2_CACHE // (16 * widths))
    queries = min(keys, widths, steps)
    return floats(queries, 2 + min(keys, total) + value_head)


def unfused(batch: int, heads: int, steps: int, total: int, value_head: int) -> int:
    """Scores, a word per head, and the result before it is transposed back."""
    return floats(batch, heads, steps, total) + PER_HEAD * batch * heads + floats(batch, heads, steps, value_head)


def attention(kernel: Kernel) -> int:
    """com.microsoft Attention: projections, mask, scores."""
    batch, steps, _ = kernel.input(0).shape
    heads = kernel.integer("num_heads", 1)
    width = kernel.output(0).shape[2]
    total = steps + (kernel.input(4).shape[3] if kernel.has_input(4) else 0)
    mask = 0
    if kernel.integer("unidirectional", 0):
        mask = floats(batch, steps, total)
    elif kernel.has_input(3):
        mask = floats(batch, total)
    projected = floats(batch, steps, kernel.input(1).shape[1])
    return projected + mask + unfused(batch, heads, steps, total, width // heads)


def multi_head_attention(kernel: Kernel) -> int:
    """com.microsoft MultiHeadAttention: inputs by head, then flash blocks, or scores where flash cannot be used."""
    batch, steps, width = kernel.input(0).shape[0], kernel.input(0).shape[1], kernel.output(0).shape[2]
    heads = kernel.integer("num_heads", 1)
    keys = kernel.input(1).shape
    total = (keys[2] if len(keys) == 4 else keys[1]) + (kernel.input(6).shape[2] if kernel.has_input(6) else 0)
    by_head = floats(batch, steps, width)
    if len(keys) == 3:
        by_head += aligned(kernel.input(1).nbytes) + aligned(kernel.input(2).nbytes)
    is_plain = not any(kernel.has_input(i) for i in (4, 5, 6, 7)) and not any(kernel.has_output(i) for i in (1, 2, 3))
    head = width // heads
    if is_plain and len(keys) == 3:
        scores = flash(steps, total, head, head)
    else:
        scores = unfused(batch, heads, steps, total, head) + (floats(batch, total) if kernel.has_input(4) else 0)
    adding_bias = 0
    if kernel.has_input(3):  # each input is summed with its bias, then transposed
        adding_bias = by_head + floats(batch, steps, width) + aligned(8 * 3 * 4)
    return max(by_head + scores, adding_bias)


def grouped_query_attention(kernel: Kernel) -> int:
    """com.microsoft GroupQueryAttention: inputs by head and flash blocks."""
    _, steps, width = kernel.input(0).shape
    head = width // kernel.integer("num_heads", 1)
    total = kernel.output(1).shape[2]
    by_head = sum(aligned(kernel.input(i).nbytes) for i in range(3) if kernel.has_input(i))
    return by_head + flash(steps, total, head, head)


def onnx_attention(kernel: Kernel) -> int:
    """Attention of the ONNX standard: scores, and the mask where it must be made or widened."""
    q, k = kernel.input(0).shape, kernel.input(1).shape
    batch = q[0]
    heads = q[1] if len(q) == 4 else kernel.integer("q_num_heads", 1)
    steps = q[-2]
    total = k[-2] + (kernel.input(4).shape[2] if kernel.has_input(4) else 0)
    scores = 0 if kernel.has_output(3) else aligned(prod((batch, heads, steps, total)) * _width(kernel))
    mask = 0
    is_bool = kernel.has_input(3) and kernel.input(3).dtype == "bool"
    if is_bool or kernel.integer("is_causal", 0):
        given = kernel.input(3).elements if kernel.has_input(3) else steps * total
        mask = aligned(given * _width(kernel))
    return scores + mask


def _width(kernel: Kernel) -> int:
    return kernel.input(0).nbytes // max(1, kernel.input(0).elements)


_MICROSOFT = "com.microsoft"
RULES: Rules = {
    (_MICROSOFT, "Attention"): attention,
    (_MICROSOFT, "QAttention"): attention,
    (_MICROSOFT, "MultiHeadAttention"): multi_head_attention,
    (_MICROSOFT, "GroupQueryAttention"): grouped_query_attention,
    ("", "Attention"): onnx_attention,
}
