"""A node whose types are known -> ModelError where no run can execute it at these sizes, although they can be written.

ONNX's inference lets these pass; onnxruntime refuses them when it comes to the node (its messages in 1.32: "Invalid
input shape", "Pad reflect: pre-pad (3) exceeds maximum allowed (2)", "indices element out of data bounds").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import onnx

from graphmem.ir.errors import ModelError
from graphmem.ir.types import TensorType, Type
from graphmem.reader.protos import plain_attributes
from graphmem.reader.values import Array, Value

Check: TypeAlias = Callable[
    [Sequence[TensorType | None], Sequence[Array | None], TensorType | None, Mapping[str, Any]], None
]


def check_runnable(
    node: onnx.NodeProto, types: Sequence[Type | None], values: Sequence[Value | None], found: Sequence[Type]
) -> None:
    """ModelError for a node that no run can execute."""
    check = _CHECKS.get(node.op_type)
    if check is None or node.domain not in ("", "ai.onnx", "com.microsoft"):
        return
    exact = [type_ if isinstance(type_, TensorType) else None for type_ in types]
    arrays = [value.low if value is not None and value.is_exact else None for value in values]
    first = found[0] if found and isinstance(found[0], TensorType) else None
    check(exact, arrays, first, plain_attributes(node))


def _window(
    types: Sequence[TensorType | None], _: Sequence[Array | None], found: TensorType | None, __: Mapping[str, Any]
) -> None:
    """A convolution makes at least one element along every axis."""
    if found is not None and len(found.shape) > 2 and min(found.shape[2:]) < 1:
        raise ModelError(f"its window is larger than the input {types[0]} that it is given")


def _pad(
    types: Sequence[TensorType | None], values: Sequence[Array | None], _: TensorType | None, plain: Mapping[str, Any]
) -> None:
    mode = plain.get("mode", "constant")
    data, pads = types[0], plain.get("pads", plain.get("paddings"))
    if len(values) > 1 and values[1] is not None:
        pads = values[1].reshape(-1).tolist()
    if data is None or pads is None or mode not in ("reflect", "edge"):
        return
    axes = range(len(data.shape))
    if len(values) > 3 and values[3] is not None:
        axes = [int(axis) % max(1, len(data.shape)) for axis in values[3].reshape(-1)]  # type: ignore[assignment]
    for place, axis in enumerate(axes):
        if len(pads) != 2 * len(axes):
            return
        head, tail = pads[place], pads[place + len(axes)]
        size = data.shape[axis] + min(0, head) + min(0, tail)
        if mode == "edge" and size < 1 and max(head, tail) > 0:
            raise ModelError(f"axis {axis} of {data} has no edge to repeat")
        if mode == "reflect" and max(head, tail) > max(0, size - 1):
            raise ModelError(
                f"axis {axis} of {data} cannot be reflected by {max(head, tail)}; at most {max(0, size - 1)}"
            )


def _indices(
    types: Sequence[TensorType | None], values: Sequence[Array | None], _: TensorType | None, plain: Mapping[str, Any]
) -> None:
    data, indices = types[0], values[1] if len(values) > 1 else None
    axis = plain.get("axis", 0)
    if data is None or indices is None or not indices.size or not -len(data.shape) <= axis < len(data.shape):
        return
    size, least, most = data.shape[axis], int(indices.min()), int(indices.max())
    if least < -size or most >= size:
        raise ModelError(f"index {most if most >= size else least} lies outside axis {axis} of {data}")


_CHECKS: Mapping[str, Check] = {
    **dict.fromkeys(
        ("Conv", "ConvInteger", "ConvTranspose", "ConvTransposeWithDynamicPads", "FusedConv", "QLinearConv"), _window
    ),
    **dict.fromkeys(("Gather", "GatherElements", "ScatterElements", "Scatter"), _indices),
    "Pad": _pad,
}
