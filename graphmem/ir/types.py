"""Types of values: what is known of a value's element type and shape, and how many bytes that is.

Exactly known, bounded and unknown are different types, so that no figure can mistake one for another:

    TensorType     float32[8, 64]             exact
    BoundedType    int64[2, 0..512]           decided by the data, but never larger than `high`
    UnknownType    float32[?, 64] or ?        something is missing; has no size at all
    SequenceType   [TensorType, ...]          a list of values
    OptionalType   TensorType or nothing
    MapType        a dictionary, which no tensor holds
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from graphmem.ir.errors import BrokenInvariantError

# Bits of one element in a tensor of that type. ONNX packs sub-byte elements and rounds the tensor up to whole bytes
# (onnx.proto, TensorProto.DataType). A string's payload lies elsewhere, so its size is not a property of the type.
BITS: dict[str, int] = {
    "bool": 8,
    "int2": 2,
    "uint2": 2,
    "int4": 4,
    "uint4": 4,
    "float4e2m1": 4,
    "float6e2m3": 6,
    "float6e3m2": 6,
    "int8": 8,
    "uint8": 8,
    "float8e4m3fn": 8,
    "float8e4m3fnuz": 8,
    "float8e5m2": 8,
    "float8e5m2fnuz": 8,
    "float8e8m0": 8,
    "int16": 16,
    "uint16": 16,
    "float16": 16,
    "bfloat16": 16,
    "int32": 32,
    "uint32": 32,
    "float32": 32,
    "int64": 64,
    "uint64": 64,
    "float64": 64,
    "complex64": 64,
    "complex128": 128,
}

Shape: TypeAlias = tuple[int, ...]


def packed_nbytes(dtype: str, elements: int) -> int:
    """Bytes of `elements` packed elements of `dtype`, rounded up to whole bytes; KeyError for "string"."""
    return -(-elements * BITS[dtype] // 8)


@dataclass(frozen=True, slots=True)
class TensorType:
    """An element type and a shape, both fully known. Scalars have the shape ()."""

    dtype: str
    shape: Shape

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def has_size(self) -> bool:
        """False for strings, whose payload no type tells."""
        return self.dtype != "string"

    @property
    def nbytes(self) -> int:
        """Bytes of the packed elements; KeyError for strings."""
        return packed_nbytes(self.dtype, self.elements)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class BoundedType:
    """A tensor whose shape the data decides: each dimension lies in low..high, ends included.

    `others` are the types that it may have instead, of other ranks and of no more elements.
    """

    dtype: str
    low: Shape
    high: Shape
    others: tuple[TensorType | BoundedType, ...] = ()

    def __post_init__(self) -> None:
        if len(self.low) != len(self.high) or any(a > b for a, b in zip(self.low, self.high, strict=True)):
            raise BrokenInvariantError(f"{self.low}..{self.high} are no bounds of a shape")

    @property
    def has_size(self) -> bool:
        """False for strings, whose payload no type tells."""
        return self.dtype != "string"

    @property
    def nbytes(self) -> int:
        """The most bytes that the tensor can take."""
        return packed_nbytes(self.dtype, prod(self.high))

    def __str__(self) -> str:
        dims = (str(a) if a == b else f"{a}..{b}" for a, b in zip(self.low, self.high, strict=True))
        return " or ".join((f"{self.dtype}[{', '.join(dims)}]", *map(str, self.others)))


@dataclass(frozen=True, slots=True)
class UnknownType:
    """A tensor of which something is missing: the element type, the rank (`dims` is None) or some dimension (None)."""

    dtype: str | None = None
    dims: tuple[int | None, ...] | None = None

    def __str__(self) -> str:
        if self.dims is None:
            return f"{self.dtype or '?'}[...]"
        return f"{self.dtype or '?'}[{', '.join('?' if d is None else str(d) for d in self.dims)}]"


@dataclass(frozen=True, slots=True)
class SequenceType:
    """A list of values. `elements` is None when its length is not known; `element` then describes any one of them.

    `whole` is the tensor that they were split from, where how it was split is not known: together they take its bytes.
    """

    element: Type
    elements: tuple[Type, ...] | None
    whole: TensorType | None = None

    def __str__(self) -> str:
        return f"seq({self.element})" + ("" if self.elements is None else f" x {len(self.elements)}")


@dataclass(frozen=True, slots=True)
class OptionalType:
    """A value or nothing; `present` is None when only the run decides."""

    element: Type
    present: bool | None

    def __str__(self) -> str:
        return f"optional({self.element})"


@dataclass(frozen=True, slots=True)
class MapType:
    """A dictionary from keys to values of these element types, `count` entries of it: no tensor, in no arena."""

    key: str
    value: str
    count: int | None = None

    def __str__(self) -> str:
        return f"map({self.key}, {self.value})"


Type: TypeAlias = TensorType | BoundedType | UnknownType | SequenceType | OptionalType | MapType


def nbytes_of(type_: Type) -> int:
    """Bytes that a value is counted with: of a bounded one the most, of an unknown one none (an Issue says so)."""
    if isinstance(type_, TensorType | BoundedType):
        return type_.nbytes if type_.has_size else 0
    if isinstance(type_, SequenceType):
        return sum(map(nbytes_of, type_.elements or ())) if type_.whole is None else nbytes_of(type_.whole)
    if isinstance(type_, OptionalType):
        return nbytes_of(type_.element) if type_.present is not False else 0
    return 0
