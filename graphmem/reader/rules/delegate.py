"""A contributed operator that computes what one of ONNX's own does -> the types that ONNX's rule for that one gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
import onnx.numpy_helper
import onnx.shape_inference

from graphmem.ir.types import Shape, TensorType, Type
from graphmem.reader.protos import proto_of, type_of
from graphmem.reader.rules.call import OpenError
from graphmem.reader.values import Array

OPSET = 17


def inferred(
    op_type: str,
    types: Sequence[TensorType],
    attributes: Mapping[str, Any] | None = None,
    values: Mapping[int, Array] | None = None,
) -> Type:
    """The first output of ONNX's operator on these inputs; OpenError where it takes no such inputs."""
    names = [f"i{i}" for i in range(len(types))]
    node = onnx.helper.make_node(op_type, names, ["o"], **(attributes or {}))
    protos = {name: proto_of(type_) for name, type_ in zip(names, types, strict=True)}
    data = {f"i{i}": onnx.numpy_helper.from_array(array) for i, array in (values or {}).items()}
    try:
        found = onnx.shape_inference.infer_node_outputs(
            onnx.defs.get_schema(op_type, OPSET),
            node,
            protos,
            data,
            opset_imports=[onnx.helper.make_opsetid("", OPSET)],
            ir_version=8,
        )
    except Exception as error:  # InferenceError, ValidationError, ...: of several modules
        raise OpenError(str(error)) from error
    return type_of(found["o"], "output") if "o" in found else _open(op_type)


def shape_of(found: Type) -> Shape:
    """The shape of an exact type; OpenError of any other."""
    if not isinstance(found, TensorType):
        raise OpenError(f"{found}")
    return found.shape


def broadcast(*shapes: Shape) -> Shape:
    """The shape that numpy broadcasts these to; OpenError where they do not fit."""
    rank = max(map(len, shapes), default=0)
    result = []
    for dims in zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True):
        sizes = {size for size in dims if size != 1}
        if len(sizes) > 1:
            raise OpenError(f"cannot broadcast {dims}")
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def matmul(a: Shape, b: Shape) -> Shape:
    """The shape of a matrix product, batch dimensions broadcast (numpy.matmul)."""
    left, right = (a if len(a) > 1 else (1, *a)), (b if len(b) > 1 else (*b, 1))
    if not a or not b or left[-1] != right[-2]:
        raise OpenError(f"{a} times {b}")
    batch = broadcast(left[:-2], right[:-2])
    return (*batch, *(left[-2:-1] if len(a) > 1 else ()), *(right[-1:] if len(b) > 1 else ()))


def _open(op_type: str) -> Type:
    raise OpenError(f"{op_type} has no rule")
