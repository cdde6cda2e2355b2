"""com.microsoft: attention and its key-value caches.

B batch, S rows of the query, L rows of the keys, P rows of the past, N heads, H size of a head.
Source: onnxruntime/docs/ContribOperators.md; each rule is compared with onnxruntime in tests/oracle/test_contrib.py.
"""

from __future__ import annotations

from graphmem.ir.types import Shape, TensorType, Type, UnknownType
from graphmem.reader.rules.call import Call, OpenError, Table
from graphmem.reader.rules.standard import like


def _attention(call: Call) -> list[Type]:
    """Input (B, S, D), weights (D, sum of the sizes of q, k and v), past (2, B, N, P, H) -> output, present."""
    batch, rows, _ = call.shape(0, 3)
    sizes = call.ints("qkv_hidden_sizes", ()) or (call.shape(1, 2)[1] // 3,) * 3
    return [
        TensorType(call.dtype(0), (batch, rows, sizes[2])),
        _packed_present(call, 4, call.dtype(0), (batch, rows, sizes[2])),
    ]


def _q_attention(call: Call) -> list[Type]:
    batch, rows, _ = call.shape(0, 3)
    size, dtype = call.shape(1, 2)[1] // 3, call.dtype(3)
    return [TensorType(dtype, (batch, rows, size)), _packed_present(call, 8, dtype, (batch, rows, size))]


def _packed_present(call: Call, position: int, dtype: str, shape: Shape) -> Type:
    """Keys and values in one tensor, those of the past in front; or the past's own buffer, filled in."""
    batch, rows, size = shape
    heads = call.int_("num_heads")
    if not call.has(position):
        return TensorType(dtype, (2, batch, heads, rows, size // heads))
    past = call.tensor(position)
    if call.int_("past_present_share_buffer", 0):
        return past
    return TensorType(past.dtype, (*past.shape[:3], past.shape[3] + rows, *past.shape[4:]))


def _multi_head(call: Call) -> list[Type]:
    """Query (B, S, D) or packed (B, S, N, 3, H), value (B, L, D) or (B, N, L, H) -> output, present key and value."""
    heads = call.int_("num_heads")
    query = call.shape(0)
    batch, rows = query[:2]
    keys, key_size, value_size = _keys_and_values(call, heads)
    past = 0
    if call.has(6):
        if call.has(8):  # past and present share one buffer, whose length is the past's
            return [TensorType(call.dtype(0), (batch, rows, heads * value_size)), call.tensor(6), call.tensor(7)]
        past = call.shape(6, 4)[2]
    dtype = call.dtype(0)
    total = past + keys
    return [
        TensorType(dtype, (batch, rows, heads * value_size)),
        TensorType(dtype, (batch, heads, total, key_size)),
        TensorType(dtype, (batch, heads, total, value_size)),
        TensorType(dtype, (batch, heads, rows, total)),
    ]


def _keys_and_values(call: Call, heads: int) -> tuple[int, int, int]:
    """(L, H of the keys, H of the values) in any of the layouts that the operator takes."""
    if not call.has(1):
        packed = call.shape(0, 5)
        return packed[1], packed[4], packed[4]
    key = call.shape(1)
    if len(key) == 5:
        return key[1], key[4], key[4]
    value = call.shape(2)
    if len(key) == 4 and len(value) == 4:
        return key[2], key[3], value[3]
    if len(key) != 3 or len(value) != 3:
        raise OpenError("layout")
    return key[1], key[2] // heads, value[2] // heads


def _grouped_query(call: Call) -> list[Type]:
    """Query (B, S, N * H), or all three packed in it; past (B, groups, P, H) -> output, present key and value.

    The present holds the greater of the past's rows and total_sequence_length, which is an input.
    """
    batch, rows, width = call.shape(0, 3)
    heads, groups = call.int_("num_heads"), call.int_("kv_num_heads")
    size = width // heads if call.has(1) else width // (heads + 2 * groups)
    out = TensorType(call.dtype(0), (batch, rows, heads * size))
    dtype, past, size_kept = call.dtype(0), 0, size
    if call.has(3):
        dtype, (_, _, past, size_kept) = call.dtype(3), call.shape(3, 4)
    try:
        total: int | None = max(past, call.scalar(6))
    except OpenError:
        total = None
    if total is None:
        present: Type = UnknownType(dtype, (batch, groups, None, size_kept))
    else:
        present = TensorType(dtype, (batch, groups, total, size_kept))
    return [out, present, present]


def _decoder(call: Call) -> list[Type]:
    """One token against a cache: the present is the past's own buffer when they share it."""
    if not call.int_("past_present_share_buffer", 0) or not call.has(5):
        raise OpenError("a cache that grows")
    batch, rows, width = call.shape(0, 3)
    width = call.shape(2)[2] if call.has(2) and len(call.shape(2)) == 3 else width // (1 if call.has(1) else 3)
    return [TensorType(call.dtype(0), (batch, rows, width)), call.tensor(5), call.tensor(6)]


RULES: Table = {
    "Attention": _attention,
    "DecoderMaskedMultiHeadAttention": _decoder,
    "GroupQueryAttention": _grouped_query,
    "MultiHeadAttention": _multi_head,
    "QAttention": _q_attention,
    "RotaryEmbedding": like(0),
}
