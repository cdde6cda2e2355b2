"""A node and the values that it reads -> a key that is equal where its inference is."""

from __future__ import annotations

from hashlib import blake2b

import onnx
import onnx.numpy_helper
import onnx.shape_inference

from graphmem.reader.protos import shortened
from graphmem.reader.values import Array, Value


def fingerprint(value: Value) -> object:
    """Equal where the values are."""
    if value.low.dtype == object:  # strings: the bytes of an object array are addresses
        return (value.low.shape, *map(str, value.low.ravel()))
    low = (value.low.dtype.str, value.low.shape, _digest(value.low))
    return low if value.low is value.high else (low, _digest(value.high))


def attribute_key(attribute: onnx.AttributeProto) -> bytes:
    """Equal where the attributes are; short, however long they are."""
    data: bytes = attribute.SerializeToString()
    return data if len(data) <= 256 else blake2b(data, digest_size=32).digest()


def _digest(array: Array) -> bytes:
    """The bytes themselves where they are few: what is remembered must not grow with the values."""
    data = array.tobytes()
    return data if len(data) <= 64 else blake2b(data, digest_size=32).digest()


def anonymous(node: onnx.NodeProto) -> onnx.NodeProto:
    """The node with its names replaced by positions and without its metadata."""
    return onnx.NodeProto(
        op_type=node.op_type,
        domain=node.domain,
        input=[f"i{i}" if name else "" for i, name in enumerate(node.input)],
        output=[f"o{i}" if name else "" for i, name in enumerate(node.output)],
        attribute=[shortened(attribute) for attribute in node.attribute],
    )
