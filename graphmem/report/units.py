"""Numbers as people read them: IEC sizes, counts, shapes, and the sign that says how exact a figure is."""

from __future__ import annotations

from graphmem.ir.graph import Exactness
from graphmem.ir.types import BoundedType, TensorType, Type, UnknownType

SIGNS: dict[Exactness, str] = {"exact": "", "at most": "<= ", "at least": ">= ", "between": "~ "}
_SIZES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_COUNTS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K"))


def size(nbytes: int) -> str:
    """Bytes in the greatest IEC unit that leaves at least 1, with two decimals: "9.19 MiB"."""
    for unit, name in _SIZES:
        if nbytes >= unit:
            return f"{nbytes / unit:.2f} {name}"
    return f"{nbytes} B"


def count(number: int) -> str:
    """A count with one decimal: "25.6 M"."""
    for unit, name in _COUNTS:
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return str(number)


def shape(type_: Type) -> str:
    """The shape as "1×64×56×56", with ranges where the data decides and "?" where nothing is known."""
    if isinstance(type_, TensorType):
        return "×".join(map(str, type_.shape)) or "scalar"
    if isinstance(type_, BoundedType):
        dims = zip(type_.low, type_.high, strict=True)
        return "×".join(str(high) if low == high else f"≤{high}" for low, high in dims) or "scalar"
    if isinstance(type_, UnknownType) and type_.dims is not None:
        return "×".join("?" if d is None else str(d) for d in type_.dims) or "scalar"
    return str(type_)
