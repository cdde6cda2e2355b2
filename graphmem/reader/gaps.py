"""Outputs that ONNX's own inference leaves open although the specification decides them -> their types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from graphmem.ir.types import TensorType, Type

Rule: TypeAlias = Callable[[Sequence["Type | None"], int], "Type | None"]


def _like_input(position: int) -> Rule:
    return lambda types, _: types[position] if position < len(types) else None


def _mask(types: Sequence[Type | None], opset: int) -> Type | None:
    """Dropout's mask: of the data's type before opset 10, bool since."""
    data = types[0]
    return TensorType(data.dtype if opset < 10 else "bool", data.shape) if isinstance(data, TensorType) else None


# (operator, position of the output) -> rule. The statistics of BatchNormalization have the shape of its mean (input 3).
RULES: Mapping[tuple[str, int], Rule] = {
    ("BatchNormalization", 1): _like_input(3),
    ("BatchNormalization", 2): _like_input(3),
    ("BatchNormalization", 3): _like_input(3),
    ("BatchNormalization", 4): _like_input(3),
    ("Dropout", 1): _mask,
    ("GroupNormalization", 0): _like_input(0),
    ("MeanVarianceNormalization", 0): _like_input(0),
}


def filled(op_type: str, position: int, types: Sequence[Type | None], opset: int) -> Type | None:
    """The type of that output, or None where there is no rule or the inputs are open too."""
    rule = RULES.get((op_type, position))
    return None if rule is None else rule(types, opset)
