"""com.microsoft: what is no fusion, attention or quantized product: recurrent states, routing, windows, searches.

Source: onnxruntime/docs/ContribOperators.md; those that its CPU provider runs are compared with it in
tests/oracle/test_contrib.py.
"""

from __future__ import annotations

from math import prod

from graphmem.ir.types import BoundedType, TensorType, Type
from graphmem.reader.rules.call import Call, OpenError, Rule, Table
from graphmem.reader.rules.delegate import broadcast, inferred, matmul, shape_of
from graphmem.reader.rules.fused import kept
from graphmem.reader.rules.ml import ngrams, words
from graphmem.reader.rules.standard import like, ranged
from graphmem.reader.rules.windows import pooled


def _expand_dims(call: Call) -> list[Type]:
    shape, axis = call.shape(0), call.scalar(1)
    at = axis if axis >= 0 else axis + len(shape) + 1
    if not 0 <= at <= len(shape):
        raise OpenError("axis")
    return [TensorType(call.dtype(0), (*shape[:at], 1, *shape[at:]))]


def _pad(call: Call) -> list[Type]:
    """Pads are an input: those of every axis in front, then those behind."""
    shape, pads = call.shape(0), [int(n) for n in call.array(1).reshape(-1)]
    if len(pads) != 2 * len(shape):
        raise OpenError("pads")
    return [
        TensorType(call.dtype(0), tuple(n + a + b for n, a, b in zip(shape, pads, pads[len(shape) :], strict=False)))
    ]


def _unfold(call: Call) -> list[Type]:
    """Windows of `size` every `step` along one axis, each a new last axis (torch.Tensor.unfold)."""
    shape, size, step = list(call.shape(0)), call.int_("size"), call.int_("step", 1)
    axis = call.int_("dim", -1) % max(1, len(shape))
    shape[axis] = (shape[axis] - size) // step + 1
    if shape[axis] < 0:
        raise OpenError("size")
    return [TensorType(call.dtype(0), (*shape, size))]


def _gather_nd(call: Call) -> list[Type]:
    data, indices = call.shape(0), call.shape(1)
    return [TensorType(call.dtype(0), (*indices[:-1], *data[indices[-1] :]))]


def _causal_conv(call: Call) -> list[Type]:
    """X (B, C, ..., L), W (C, 1, k...) -> Y like X, state (B, C, (k - 1) * dilation), in slots of `state_window`."""
    x, kernel = call.tensor(0), call.shape(1)[-1]
    if call.int_("ndim", 1) != 1 or call.int_("state_update_capacity", 0) or call.int_("input_channels", 0):
        raise OpenError("extended")
    length = call.int_("state_length", 0) or (kernel - 1) * call.int_("dilation", 1)
    batch, *rest = x.shape
    state = (batch, length, *rest[1:]) if call.int_("channels_last", 0) else (batch, rest[0], length)
    return [x, _windowed(call, TensorType(call.dtype(3) if call.has(3) else x.dtype, state))]


def _windowed(call: Call, state: TensorType) -> Type:
    window = call.int_("state_window", 0)
    return TensorType(state.dtype, (window, *state.shape)) if window else state


def _linear_attention(call: Call) -> list[Type]:
    """Packed query, key, value (B, T, heads * size) -> output (B, T, heads * size of v), state (B, heads, k, v)."""
    batch, rows, width = call.shape(0, 3)
    heads, groups = call.int_("q_num_heads"), call.int_("kv_num_heads")
    key, value = width // heads, call.shape(2, 3)[2] // groups
    dtype = call.dtype(3) if call.has(3) else call.dtype(0)
    state = TensorType(dtype, (batch, groups, key, value))
    return [TensorType(call.dtype(0), (batch, rows, max(heads, groups) * value)), _windowed(call, state)]


def _attention_gate(call: Call) -> list[Type]:
    return [call.tensor(0), call.tensor(3) if call.has(3) else call.tensor(0)]


def _gated_delta(call: Call) -> list[Type]:
    tokens, heads = call.shape(0, 3)[:2]
    values, size = call.shape(2, 3)[1:]
    output = TensorType(call.dtype(0), (tokens, max(heads, values), size))
    return [output, call.tensor(6)] if call.has(6) else [output]


def _pairs(call: Call) -> list[Type]:
    return [TensorType(call.dtype(0), (call.shape(0, 2)[0], call.shape(1, 2)[0]))]


def _crop(call: Call) -> list[Type]:
    height, width = (int(n) for n in call.array(3).reshape(-1))
    return [TensorType(call.dtype(0), (call.shape(1, 2)[0], call.shape(0, 4)[1], height, width))]


def _grid_sample(call: Call) -> list[Type]:
    batch, channels, *_ = call.shape(0)
    return [TensorType(call.dtype(0), (batch, channels, *call.shape(1)[1:-1]))]


def _reduced_streams(call: Call) -> list[Type]:
    """(..., C, H), or (..., C * H) with `num_branches`, summed over the branches."""
    *rest, last = call.shape(0)
    branches = call.int_("num_branches", 0)
    return [TensorType(call.dtype(0), (*rest, last // branches) if branches else (*rest[:-1], last))]


def _masked_pool(call: Call) -> list[Type]:
    return [TensorType(call.dtype(0), pooled(call, call.shape(0), ignores_dilations=True))]


def _hashes(call: Call) -> list[Type]:
    return [TensorType("uint32" if call.int_("positive", 1) else "int32", call.shape(0))]


def _gather_quantized(call: Call) -> list[Type]:
    """Rows of a table quantized in blocks; bytes hold several elements of the last axis where `bits` is under 8."""
    data, indices = list(call.shape(0)), call.shape(1)
    if call.dtype(0) == "uint8":
        data[-1] = data[-1] * 8 // call.int_("bits", 4)
    axis = call.int_("gather_axis", 0) % len(data)
    return [TensorType(call.dtype(2), (*data[:axis], *indices, *data[axis + 1 :]))]


def _router(call: Call) -> list[Type]:
    experts = call.shape(1)[0] if call.has(1) else call.shape(0)[-1]
    rows = prod(call.shape(0)[:-1])
    if len(call.node.output) > 1:
        raise OpenError("scores")
    return [TensorType(call.dtype(0), (rows, experts))]


def _unique(call: Call) -> list[Type]:
    (count,) = call.shape(0, 1)
    some = min(1, count)
    return [
        BoundedType(call.dtype(0), (some,), (count,)),
        TensorType("int64", (count,)),
        BoundedType("int64", (some,), (count,)),
    ]


def _embedded(call: Call) -> list[Type]:
    """QEmbedLayerNormalization: words (B, S), table (words, D) -> (B, S, D), mask (B,)."""
    batch, rows = call.shape(0, 2)
    return [TensorType(call.dtype(8), (batch, rows, call.shape(2, 2)[1])), TensorType("int32", (batch,))]


def _cached(call: Call) -> list[Type]:
    """SparseAttention: the present is the past's own buffer."""
    batch, rows, width = call.shape(0, 3)
    heads, groups = call.int_("num_heads"), call.int_("kv_num_heads")
    size = width // heads if call.has(1) else width // (heads + 2 * groups)
    return [TensorType(call.dtype(0), (batch, rows, heads * size)), call.tensor(3), call.tensor(4)]


def _warped(call: Call) -> list[Type]:
    """DynamicTimeWarping: a path of at least the longer and less than both lengths together."""
    *_, m, n = call.shape(0)
    return [BoundedType("int32", (2, max(m, n)), (2, max(m + n - 1, 0)))]


def _relative_bias(call: Call) -> list[Type]:
    return [TensorType(call.dtype(0), (1, call.shape(0, 2)[1], call.scalar(1), call.scalar(2)))]


def _gated_bias(call: Call) -> list[Type]:
    rows = call.shape(6, 2) if call.has(6) else call.shape(0, 3)[:2]
    return [TensorType(call.dtype(0), (rows[0], call.int_("num_heads"), rows[1], rows[1]))]


def _with_mask(call: Call) -> list[Type]:
    return [call.tensor(0), TensorType("bool", call.shape(0))]


def _bitmask(call: Call) -> list[Type]:
    x = call.tensor(0)
    return [x, TensorType("uint32", (-(-x.elements // 32),))]


def _broadcast_as(*positions: int, dtype: str = "") -> Rule:
    def rule(call: Call) -> list[Type]:
        return [TensorType(dtype or call.dtype(0), broadcast(*(call.shape(p) for p in positions)))]

    return rule


def _spectrum(call: Call) -> list[Type]:
    """Rfft: n of the last axis become n // 2 + 1 pairs."""
    *rest, n = call.shape(0)
    return [TensorType(call.dtype(0), (*rest, n // 2 + 1, 2))]


def _signal(call: Call) -> list[Type]:
    *rest, bins, _ = call.shape(0)
    return [TensorType(call.dtype(0), (*rest, 2 * (bins - 1)))]


def _padding_removed(call: Call) -> list[Type]:
    batch, rows, width = call.shape(0, 3)
    packed = BoundedType(call.dtype(0), (0, width), (batch * rows, width))
    counts = [TensorType("int32", shape) for shape in ((batch, rows), (batch + 1,), (1,))]
    return [packed, *counts]


def _padding_restored(call: Call) -> list[Type]:
    return [TensorType(call.dtype(0), (*call.shape(1, 2), call.shape(0, 2)[1]))]


def _reduce_integers(call: Call) -> list[Type]:
    found = inferred("ReduceMean", [TensorType("float32", call.shape(0))], kept(call, "axes", "keepdims"))
    return [TensorType("int32", shape_of(found))]


def _gemm(call: Call) -> list[Type]:
    return [TensorType(call.dtype(0), matmul(call.shape(0), call.shape(1)))]


def _packed_attention(call: Call) -> list[Type]:
    sizes = call.ints("qkv_hidden_sizes", ())
    return [TensorType(call.dtype(0), (call.shape(0, 2)[0], sizes[2] if sizes else call.shape(1, 2)[1] // 3))]


def _packed_heads(call: Call) -> list[Type]:
    width = call.shape(2, 2)[1] if call.has(2) else call.shape(0, 4)[1] * call.shape(0, 4)[3]
    return [TensorType(call.dtype(0), (call.shape(0)[0], width))]


def _true(_: Call) -> list[Type]:
    return [TensorType("bool", ())]


def _drop_bias(call: Call) -> list[Type]:
    return _with_mask(call)


RULES: Table = {
    "BiasDropout": _drop_bias,
    "BiasSoftmax": like(0),
    "BitmaskBiasDropout": _bitmask,
    "BitmaskDropout": _bitmask,
    "BranchwiseRMSNorm": like(0),
    "CDist": _pairs,
    "CausalConvWithState": _causal_conv,
    "ComplexMul": _broadcast_as(0, 1),
    "ComplexMulConj": _broadcast_as(0, 1),
    "CropAndResize": _crop,
    "DynamicTimeWarping": _warped,
    "EngramGate": like(0, 0),
    "ExpandDims": _expand_dims,
    "GatedAdd": like(0),
    "GatedDeltaNet": _gated_delta,
    "GatedRMSNorm": like(0),
    "GatedRelativePositionBias": _gated_bias,
    "GatherBlockQuantized": _gather_quantized,
    "GatherND": _gather_nd,
    "GemmFastGelu": _gemm,
    "GemmaRotaryEmbedding": like(1, 1),
    "GridSample": _grid_sample,
    "HyperConnectionPostMix": like(0),
    "HyperConnectionPreMix": _reduced_streams,
    "Irfft": _signal,
    "IsAllFinite": _true,
    "LinearAttention": _linear_attention,
    "LinearAttentionGate": _attention_gate,
    "LongformerAttention": like(0),
    "MRotaryEmbedding": like(0),
    "MaxpoolWithMask": _masked_pool,
    "MoE": like(0),
    "MoEGroupRouter": _router,
    "MulInteger": _broadcast_as(0, 2, dtype="int32"),
    "MurmurHash3": _hashes,
    "NGramHashMapping": ngrams,
    "NGramRepeatBlock": like(1),
    "PackedAttention": _packed_attention,
    "PackedMultiHeadAttention": _packed_heads,
    "Pad": _pad,
    "QEmbedLayerNormalization": _embedded,
    "QMoE": like(0),
    "Range": ranged,
    "ReduceSumInteger": _reduce_integers,
    "RelativePositionBias": _relative_bias,
    "RemovePadding": _padding_removed,
    "RestorePadding": _padding_restored,
    "Rfft": _spectrum,
    "SampleOp": like(0),
    "ScaledSiLU": like(0),
    "SparseAttention": _cached,
    "UnfoldTensor": _unfold,
    "Unique": _unique,
    "WordConvEmbedding": words,
}
