"""Attributes of a NodeProto -> plain Python values."""

from __future__ import annotations

from typing import Any

import onnx

_KIND = onnx.AttributeProto


def plain_attributes(proto: onnx.NodeProto) -> dict[str, Any]:
    """Numbers, texts and tuples of them by name; tensors, graphs and types are left out."""
    plain: dict[str, Any] = {}
    for attribute in proto.attribute:
        kind = attribute.type
        if kind == _KIND.INT:
            plain[attribute.name] = attribute.i
        elif kind == _KIND.FLOAT:
            plain[attribute.name] = attribute.f
        elif kind == _KIND.STRING:
            plain[attribute.name] = attribute.s.decode("utf-8", "replace")
        elif kind == _KIND.INTS:
            plain[attribute.name] = tuple(attribute.ints)
        elif kind == _KIND.FLOATS:
            plain[attribute.name] = tuple(attribute.floats)
        elif kind == _KIND.STRINGS:
            plain[attribute.name] = tuple(text.decode("utf-8", "replace") for text in attribute.strings)
    return plain
