"""Scaled dot product attention: fused where torch fuses, else the products that it is made of.

Sources: aten/src/ATen/native/transformers/attention.cpp, sdp_utils_cpp.cpp, torch 2.13. CPU: flash attention without
dropout and without a gradient for the mask; CUDA in float32: memory-efficient attention.
"""

from __future__ import annotations

from typing import Any

from graphmem.autograd import ops
from graphmem.autograd import strides as st
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import RULES, rule
from graphmem.autograd.rules.elementwise import dropout
from graphmem.autograd.rules.products import matmul
from graphmem.autograd.tensor import Node, Tensor
from graphmem.ir.errors import MisfitError


@rule("aten.scaled_dot_product_attention")
def attention(
    m: Machine, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, *, scale: Any = None, enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """Fused: saves q, k, v, the result and a logarithm per row. Else the products with what each saves."""
    del scale
    if not 2 < len(q.shape) == len(k.shape) == len(v.shape):
        raise MisfitError("queries, keys and values are not of one rank")
    if _is_fused(m, q, k, v, mask, dropout_p, enable_gqa):
        return _fused(m, q, k, v, mask)
    return _products(m, q, k, v, mask, dropout_p, is_causal, enable_gqa)


def _is_fused(
    m: Machine, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float, enable_gqa: bool
) -> bool:
    same_width = q.shape[-1] == v.shape[-1] and len(q.shape) == len(k.shape) == 4
    grouped = q.shape[:-2] != k.shape[:-2]
    if any(t.strides[-1] != 1 for t in (q, k, v)) or not same_width or (mask is not None and mask.requires_grad):
        return False
    if m.device == "cuda":
        return not grouped or enable_gqa
    return not dropout_p and (not grouped or enable_gqa)


def _heads_inside(m: Machine, shape: st.Shape, dtype: str) -> Tensor:
    """[B, H, T, D] in the memory order [B, T, H, D]."""
    h, t, d = shape[1:]
    return m.empty(shape, dtype, (t * h * d, d, h * d, 1))


def _fused(m: Machine, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    label = "aten::_scaled_dot_product_flash_attention_for_cpu"
    if mask is not None and mask.dtype == "bool":
        mask = ops.like(m, "aten::where", mask, q.dtype)
    b, h, t = q.shape[:3]
    if m.device == "cpu":  # as the query lies in memory
        out, lse = ops.like(m, label, q), m.empty((b, h, t), "float32", (t * h, 1, h))
    else:  # memory-efficient attention: rows of the logarithms in blocks of 32
        out, lse = _heads_inside(m, (*q.shape[:-1], v.shape[-1]), q.dtype), m.empty((b, h, -(-t // 32) * 32), "float32")
    held = [q, k, v, *([mask] if mask is not None else []), out, lse]
    if m.device == "cuda":
        held += [m.empty((), "int64"), m.empty((), "int64")]

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, ...]:
        with m.operator(f"{label}_backward"):
            return tuple(_heads_inside(m, x.shape, g.dtype) for x in (q, k, v))

    m.record("ScaledDotProductFlashAttentionForCpuBackward0", [q, k, v], [out], back, held)
    return out


def _scaled(m: Machine, x: Tensor) -> Tensor:
    """x times a C++ number, which, unlike a Python number, is not saved as a tensor."""
    out = ops.pointwise(m, "aten::mul", x)
    m.record("MulBackward1", [x], [out], lambda m, _n, g: ops.pointwise(m, "aten::mul", g))
    return out


def _products(
    m: Machine, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float, is_causal: bool, gqa: bool
) -> Tensor:
    given = q.dtype
    if given in ("float16", "bfloat16"):  # computed in float32 unless asked otherwise
        q, k, v = (ops.cast(m, t, "float32") for t in (q, k, v))
    if is_causal:
        mask = m.empty((q.shape[-2], k.shape[-2]), q.dtype)
    if gqa and q.shape[-3] != k.shape[-3]:
        k, v = (_repeated(m, t, q.shape[-3]) for t in (k, v))
    if mask is not None and mask.dtype == "bool":
        mask = ops.like(m, "aten::where", mask, q.dtype)
    scores = matmul(m, _scaled(m, q), _scaled(m, ops.transpose(m, k)))
    if mask is not None:
        added = m.alias(scores, scores.shape, scores.strides)
        m.record("AddBackward0", [scores, mask], [added], lambda m, _n, g: (g, g))
        scores = added
    weights = RULES["aten.softmax"](m, scores, -1)
    if dropout_p:
        weights = dropout(m, weights, dropout_p, True)
    return ops.cast(m, matmul(m, weights, v), given)


def _repeated(m: Machine, x: Tensor, heads: int) -> Tensor:
    """repeat_interleave of the heads: an expanded copy, its gradient summed."""
    b, h, t, d = x.shape
    wide = ops.expand(m, ops.unsqueeze(m, x, 2), (b, h, heads // h, t, d))
    return ops.reshape(m, ops.clone(m, wide, st.contiguous(wide.shape)), (b, heads, t, d))
