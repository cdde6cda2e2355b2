"""TypeProto, TensorProto and attributes of a NodeProto <-> graphmem's types and plain Python values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import onnx

from graphmem.ir.errors import ModelError
from graphmem.ir.types import BITS, MapType, OptionalType, SequenceType, TensorType, Type, UnknownType

# TensorProto.DataType number <-> name; the names are ONNX's own in lower case, but "float" and "double" as numpy's.
_NUMPY_NAMES = {"float": "float32", "double": "float64"}
DTYPES: dict[int, str] = {
    number: _NUMPY_NAMES.get(name.lower(), name.lower())
    for name, number in onnx.TensorProto.DataType.items()
    if name != "UNDEFINED" and _NUMPY_NAMES.get(name.lower(), name.lower()) in {*BITS, "string"}
}
NUMBERS = {name: number for number, name in DTYPES.items()}

MAX_NBYTES = 2**63 - 1
# Far more axes than any runtime takes (numpy: 64), and few enough to multiply out at once.
MAX_RANK = 1_024


def dtype_of(number: int, where: str) -> str:
    """Name of an element type; ModelError for a number that ONNX does not define."""
    try:
        return DTYPES[number]
    except KeyError:
        raise ModelError(f"{where} has element type {number}, which ONNX does not define") from None


def checked(dtype: str, shape: tuple[int, ...], where: str) -> TensorType:
    """The tensor type, after a check that no dimension is negative and that its bytes fit 63 bits."""
    if len(shape) > MAX_RANK:
        raise ModelError(f"{where} has {len(shape)} dimensions; at most {MAX_RANK} are read")
    made = TensorType(dtype, shape)
    if shape and min(shape) < 0:
        raise ModelError(f"{where} has the negative dimension {min(shape)}")
    if made.has_size and made.nbytes > MAX_NBYTES:
        raise ModelError(f"{where} would take more than 2^63 bytes ({made}); check its dimensions")
    return made


def type_of(proto: onnx.TypeProto, where: str) -> Type:
    """The type as far as it is stated; symbolic and absent dimensions come out as None in an UnknownType."""
    kind = proto.WhichOneof("value")
    if kind in ("tensor_type", "sparse_tensor_type"):
        return _tensor_type_of(getattr(proto, kind), where)
    if kind == "sequence_type":
        return SequenceType(type_of(proto.sequence_type.elem_type, where), None)
    if kind == "map_type":
        key, value = proto.map_type.key_type, proto.map_type.value_type.tensor_type.elem_type
        return MapType(dtype_of(key, where), dtype_of(value, where)) if key and value else UnknownType()
    if kind == "optional_type":
        return OptionalType(type_of(proto.optional_type.elem_type, where), None)
    return UnknownType()


def _tensor_type_of(proto: onnx.TypeProto.Tensor, where: str) -> Type:
    dtype = dtype_of(proto.elem_type, where) if proto.elem_type else None
    if not proto.HasField("shape"):
        return UnknownType(dtype)
    dims = tuple(d.dim_value if d.HasField("dim_value") else None for d in proto.shape.dim)
    known = tuple(d for d in dims if d is not None)
    if dtype is None or len(known) != len(dims):
        return UnknownType(dtype, tuple(None if d is None or d < 0 else d for d in dims))
    return checked(dtype, known, where)


@lru_cache(maxsize=65536)
def proto_of(type_: Type) -> onnx.TypeProto:
    """The TypeProto of a type; shared between callers, who must not change it."""
    proto = onnx.TypeProto()
    if isinstance(type_, SequenceType):
        proto.sequence_type.elem_type.CopyFrom(proto_of(type_.element))
    elif isinstance(type_, OptionalType):
        proto.optional_type.elem_type.CopyFrom(proto_of(type_.element))
    elif isinstance(type_, MapType):
        proto.map_type.key_type = NUMBERS[type_.key]
        proto.map_type.value_type.tensor_type.elem_type = NUMBERS[type_.value]
    else:
        dtype, dims = type_.dtype, type_.dims if isinstance(type_, UnknownType) else getattr(type_, "shape", None)
        tensor = proto.tensor_type
        tensor.elem_type = NUMBERS[dtype] if dtype else 0
        if dims is not None:
            tensor.shape.SetInParent()
            for dim in dims:
                slot = tensor.shape.dim.add()
                if dim is not None:
                    slot.dim_value = dim
    return proto


def checked_type(type_: Type, where: str) -> Type:
    """The type itself, after `checked` of every tensor in it."""
    if isinstance(type_, TensorType):
        return checked(type_.dtype, type_.shape, where)
    if isinstance(type_, SequenceType):
        for element in type_.elements or ():
            checked_type(element, where)
    elif isinstance(type_, OptionalType):
        checked_type(type_.element, where)
    return type_


_KIND = onnx.AttributeProto
# No shape, layer or kernel is described by more numbers or texts; tree ensembles hold millions.
MAX_LISTED = 4_096


@dataclass(frozen=True, slots=True)
class Elided:
    """A list of an attribute that is too long to describe a shape: its length alone."""

    length: int

    def __len__(self) -> int:
        return self.length


def shortened(attribute: onnx.AttributeProto) -> onnx.AttributeProto:
    """The attribute with no more elements than could say something of a shape."""
    if max(len(attribute.floats), len(attribute.ints), len(attribute.strings)) <= MAX_LISTED:
        return attribute
    short = onnx.AttributeProto(name=attribute.name, type=attribute.type)
    for name in ("floats", "ints", "strings"):
        getattr(short, name).extend(getattr(attribute, name)[:MAX_LISTED])
    return short


def plain_attributes(proto: onnx.NodeProto) -> dict[str, Any]:
    """Numbers, texts and tuples of them by name; tensors, graphs and types are left out."""
    plain: dict[str, Any] = {}
    for attribute in proto.attribute:
        kind = attribute.type
        length = max(len(attribute.floats), len(attribute.ints), len(attribute.strings))
        if length > MAX_LISTED:
            plain[attribute.name] = Elided(length)
        elif kind == _KIND.INT:
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
