"""Operators of ONNX's own domain whose shape its inference leaves open, or gets wrong, although values decide it."""

from __future__ import annotations

from math import ceil

from graphmem.ir.types import BoundedType, TensorType, Type, UnknownType
from graphmem.reader.protos import dtype_of
from graphmem.reader.rules.call import Call, OpenError, Rule, Table
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


def _range(call: Call) -> list[Type]:
    """max(ceil((limit - start) / delta), 0) elements, by the ends of what is known of each; delta must be exact.

    ONNX's inference leaves the 16-bit floats out and refuses vectors of one element, which onnxruntime takes.
    """
    dtype = call.dtype(0)
    start, limit = call.values[0], call.values[1]
    if start is None or limit is None or call.values[2] is None:
        return [UnknownType(dtype, (None,))]
    delta = _number(call.array(2))
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

    A complex signal (last dimension 2) has no one-sided transform.
    """
    batch, length, parts = call.shape(0, 3)
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


TRAINING: Table = {"Gradient": _gradient}
PREVIEW: Table = {"FlexAttention": _flex_attention}

RULES: Table = {
    "Range": _range,
    "STFT": _stft,
    "StringNormalizer": _string_normalizer,
    "StringSplit": _string_split,
}

GAPS: Table = {
    # The statistics have the shape of the mean (input 3).
    "BatchNormalization": like(0, 3, 3, 3, 3),
    "Dropout": _mask,
    "GroupNormalization": like(0),
    "MaxUnpool": _max_unpool,
    "MeanVarianceNormalization": like(0),
    "MelWeightMatrix": _mel_weight_matrix,
}
