"""Operators of ONNX's own domain whose shape its inference leaves open, or gets wrong, although values decide it."""

from __future__ import annotations

from math import ceil

from graphmem.ir.types import BoundedType, TensorType, Type, UnknownType
from graphmem.reader.protos import dtype_of
from graphmem.reader.rules.call import Call, OpenError, Rule, Table
from graphmem.reader.rules.delegate import broadcast
from graphmem.reader.values import Array


def like(*positions: int) -> Rule:
    """Each output has the type of the input at that position."""

    def rule(call: Call) -> list[Type]:
        found = [call.types[p] if call.has(p) else None for p in positions]
        return [UnknownType() if type_ is None else type_ for type_ in found]

    return rule


def _mask(call: Call) -> list[Type]:
    """Dropout's mask: of the data's type before opset 10, bool since."""
    data = call.tensor(0)
    return [data, TensorType(data.dtype if call.opset < 10 else "bool", data.shape)]


def ranged(call: Call) -> list[Type]:
    """max(ceil((limit - start) / delta), 0) elements, by the ends of what is known of each; delta must be exact.

    ONNX's inference leaves the 16-bit floats out and refuses vectors of one element, which onnxruntime takes; its own
    Range may leave out delta, which is 1.
    """
    dtype = call.dtype(0)
    start, limit = call.values[0], call.values[1]
    if start is None or limit is None or (call.has(2) and call.values[2] is None):
        return [UnknownType(dtype, (None,))]
    delta = _number(call.array(2)) if call.has(2) else 1
    up = delta > 0
    least = _steps(start.high if up else start.low, limit.low if up else limit.high, delta)
    most = _steps(start.low if up else start.high, limit.high if up else limit.low, delta)
    return [TensorType(dtype, (most,)) if least == most else BoundedType(dtype, (least,), (most,))]


def _number(array: Array) -> int | float:
    found = array.reshape(-1)[0]
    return int(found) if array.dtype.kind in "iu" else float(found)


def _steps(start: Array, limit: Array, delta: int | float) -> int:
    """Elements from `start` up to `limit`, without rounding where they are integers."""
    first, last = _number(start), _number(limit)
    if isinstance(first, int) and isinstance(last, int) and isinstance(delta, int):
        return max(0, -((first - last) // delta))
    count = (last - first) / delta
    if not abs(count) < 2**53:
        raise OpenError("count")
    return max(0, ceil(count))


def _stft(call: Call) -> list[Type]:
    """[batch, frames, bins, 2]; one-sided by default, which ONNX 1.23 overlooks when the attribute is absent.

    The signal is [batch, length], or with 1 (real) or 2 (complex) as a last dimension; a complex one has no one-sided
    transform.
    """
    shape = call.shape(0)
    if len(shape) not in (2, 3):
        raise OpenError("rank")
    batch, length, parts = (*shape, 1)[:3]
    step = call.scalar(1)
    frame = call.scalar(3) if call.has(3) else call.shape(2, 1)[0]
    if step < 1 or not 0 < frame <= length:
        raise OpenError("frame")
    bins = frame // 2 + 1 if call.int_("onesided", 1) and parts == 1 else frame
    return [TensorType(call.dtype(0), (batch, (length - frame) // step + 1, bins, 2))]


def _mel_weight_matrix(call: Call) -> list[Type]:
    dtype = dtype_of(call.int_("output_datatype", 1), "MelWeightMatrix")
    return [TensorType(dtype, (call.scalar(1) // 2 + 1, call.scalar(0)))]


def _max_unpool(call: Call) -> list[Type]:
    return [TensorType(call.dtype(0), tuple(int(n) for n in call.array(2).tolist()))]


def _string_split(call: Call) -> list[Type]:
    """The substrings, padded to the most of any string; the counts are known even when the strings are not."""
    data = call.tensor(0)
    counts = TensorType("int64", data.shape)
    try:
        texts = call.array(0)
    except OpenError:
        return [UnknownType("string", (*data.shape, None)), counts]
    delimiter, most = call.text("delimiter") or None, int(call.attributes.get("maxsplit", -1))
    parts = [len(str(text).split(delimiter, most)) for text in texts.reshape(-1)]
    return [TensorType("string", (*data.shape, max(parts, default=0))), counts]


def _string_normalizer(call: Call) -> list[Type]:
    """The strings that are no stopword, or one empty string when none is left (specification, opset 10)."""
    data, words = call.tensor(0), set(call.attributes.get("stopwords", ()))
    rank = len(data.shape)
    if rank not in (1, 2) or (rank == 2 and data.shape[0] != 1):
        raise OpenError("rank")
    if not words:
        return [data]
    try:
        texts = [str(text) for text in call.array(0).reshape(-1)]
    except OpenError:
        most = data.shape[-1]
        return [BoundedType("string", (*data.shape[:-1], 1), (*data.shape[:-1], max(most, 1)))]
    if not call.int_("is_case_sensitive", 0):
        words, texts = {word.lower() for word in words}, [text.lower() for text in texts]
    left = sum(text not in words for text in texts)
    return [TensorType("string", (*data.shape[:-1], max(left, 1)))]


def _flex_attention(call: Call) -> list[Type]:
    """Q (batch, heads, rows, size) and V (batch, heads, columns, size of V) -> Q with the size of V."""
    return [TensorType(call.dtype(0), (*call.shape(0, 4)[:3], call.shape(2, 4)[3]))]


def _gradient(call: Call) -> list[Type]:
    """One derivative per input in `xs`, which lead the inputs: each of that input's type."""
    return [call.tensor(i) for i in range(len(call.attributes["xs"]))]


def _attention(call: Call) -> list[Type]:
    """Y, present key and value, the product of query and key; each of 4 dimensions (batch, heads, rows, size) or 3.

    Without a past the present is the key itself (specification, opset 23); heads of 3-dimensional inputs are counted
    by attributes.
    """
    query, key, value = (_heads(call, p, name) for p, name in enumerate(("q", "kv", "kv")))
    past = call.shape(4, 4)[2] if call.has(4) else 0
    batch, heads, rows, _ = query
    total = past + key[2]
    dtype = call.dtype(0)
    packed = (batch, rows, heads * value[3])
    return [
        TensorType(dtype, packed if len(call.shape(0)) == 3 else (batch, heads, rows, value[3])),
        TensorType(call.dtype(1), (key[0], key[1], total, key[3])),
        TensorType(call.dtype(2), (value[0], value[1], total, value[3])),
        TensorType(dtype, (batch, heads, rows, total)),
    ]


def _heads(call: Call, position: int, name: str) -> tuple[int, int, int, int]:
    shape = call.shape(position)
    if len(shape) == 4:
        return shape[0], shape[1], shape[2], shape[3]
    heads = call.int_(f"{name}_num_heads")
    batch, rows, width = call.shape(position, 3)
    return batch, heads, rows, width // heads


TRAINING: Table = {"Gradient": _gradient}
PREVIEW: Table = {"FlexAttention": _flex_attention}

RULES: Table = {
    "Range": ranged,
    "STFT": _stft,
    "StringNormalizer": _string_normalizer,
    "StringSplit": _string_split,
}


def _broadcast_comparison(call: Call) -> list[Type]:
    """GreaterOrEqual and LessOrEqual, for which ONNX infers nothing before opset 16: bool, broadcast."""
    return [TensorType("bool", broadcast(call.shape(0), call.shape(1)))]


def _prelu(call: Call) -> list[Type]:
    """X and slope broadcast to each other; the text takes only a slope that broadcasts to X."""
    return [TensorType(call.dtype(0), broadcast(call.shape(0), call.shape(1)))]


def _gather_nd(call: Call) -> list[Type]:
    """Also to a scalar, which ONNX's inference leaves open."""
    data, indices, batch = call.shape(0), call.shape(1), call.int_("batch_dims", 0)
    if not indices or indices[-1] > len(data) - batch:
        raise OpenError("indices")
    return [TensorType(call.dtype(0), (*indices[:-1], *data[batch + indices[-1] :]))]


def _transpose(call: Call) -> list[Type]:
    """Of a scalar, which ONNX's inference leaves open."""
    if call.shape(0):
        raise OpenError("not a scalar")
    return [call.tensor(0)]


def _tf_idf(call: Call) -> list[Type]:
    """A column for each n-gram that `ngram_indexes` numbers."""
    *rest, _ = call.shape(0)
    return [TensorType("float32", (*rest, max(call.ints("ngram_indexes")) + 1))]


def _squeeze(call: Call) -> list[Type]:
    """Axes in any order; ONNX's inference of the first opsets wants them sorted."""
    shape = call.shape(0)
    given = [int(n) for n in call.array(1).reshape(-1)] if call.has(1) else call.ints("axes", ())
    axes = {axis % len(shape) for axis in given} if given else {i for i, n in enumerate(shape) if n == 1}
    if any(shape[axis] != 1 for axis in axes):
        raise OpenError("axes")
    return [TensorType(call.dtype(0), tuple(n for i, n in enumerate(shape) if i not in axes))]


CORRECTIONS: Table = {"Squeeze": _squeeze, "PRelu": _prelu}


def _top_k(call: Call) -> list[Type]:
    """At most the whole axis, where only the run says how many."""
    data, axis = call.tensor(0), call.int_("axis", -1)
    high = data.shape
    low = tuple(0 if i == axis % len(high) else n for i, n in enumerate(high))
    return [_between(data.dtype, low, high), _between("int64", low, high)]


def _split(call: Call) -> list[Type]:
    """Parts of sizes that only the run says: each at most the whole."""
    data = call.tensor(0)
    axis = call.int_("axis", 0) % len(data.shape)
    low = tuple(0 if i == axis else n for i, n in enumerate(data.shape))
    return [_between(data.dtype, low, data.shape) for _ in call.node.output]


def _reduced(call: Call) -> list[Type]:
    """Over axes that only the run says: each of them kept, or 1; without keepdims the rank is open."""
    data = call.tensor(0)
    if not call.int_("keepdims", 1):
        raise OpenError("rank")
    return [_between(data.dtype, tuple(min(1, n) for n in data.shape), tuple(max(1, n) for n in data.shape))]


def _between(dtype: str, low: tuple[int, ...], high: tuple[int, ...]) -> Type:
    low = tuple(map(min, low, high))
    return TensorType(dtype, high) if low == high else BoundedType(dtype, low, high)


_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")

GAPS: Table = {
    **{f"Reduce{name}": _reduced for name in _REDUCTIONS},
    "Split": _split,
    "TopK": _top_k,
    "TfIdfVectorizer": _tf_idf,
    "Attention": _attention,
    "GatherND": _gather_nd,
    "GreaterOrEqual": _broadcast_comparison,
    "LessOrEqual": _broadcast_comparison,
    "Transpose": _transpose,
    # The statistics have the shape of the mean (input 3).
    "BatchNormalization": like(0, 3, 3, 3, 3),
    "Dropout": _mask,
    "GroupNormalization": like(0),
    "MaxUnpool": _max_unpool,
    "MeanVarianceNormalization": like(0),
    "MelWeightMatrix": _mel_weight_matrix,
}
