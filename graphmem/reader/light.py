"""Bytes of a model -> the same without the tables of tree ensembles, which no shape depends on and no figure counts.

A boosted ensemble lists its nodes in attributes, ten bytes of file and hundreds of memory for each once parsed. They
are cut here, attribute by attribute, before the whole is parsed: the file is held once, and little besides. Fields have
the numbers of onnx.proto; a message that is not well formed is left as it is, for the parser to refuse.
"""

from __future__ import annotations

from collections.abc import Iterator

from graphmem.reader.protos import MAX_LISTED

LONG = 1 << 16  # bytes below which nothing is worth cutting
GRAPH, NODE, OP_TYPE, ATTRIBUTE = 7, 1, 4, 5  # in ModelProto, in GraphProto, and twice in NodeProto
TABLES = (b"nodes_", b"target_", b"class_", b"leaf_")  # attributes with a row for each node or leaf
NAME, TYPE = 1, 20  # in AttributeProto
LISTS = {7: 6, 8: 7, 9: 8}  # floats, ints and texts, and the type of an attribute that holds them
_LENGTHS = {1: 8, 5: 4}  # bytes of a value by wire type, but for varints and what states its length
DELIMITED = 2

# number of the field, where it begins, where its value begins and ends
Field = tuple[int, int, int, int]


def without_tables(data: bytes) -> bytes:
    """The binary ModelProto with these lists cut short; `data` itself where there is none."""
    if len(data) <= LONG:
        return data
    try:
        return _rewritten(data, 0, len(data), (GRAPH, NODE)) or data
    except (IndexError, ValueError):
        return data


def _rewritten(data: bytes, start: int, end: int, path: tuple[int, ...]) -> bytes | None:
    """The message between these ends, with the long fields along the path rewritten; None where none is."""
    if not path:
        return _node(data, start, end)
    pieces, kept = [], start
    for number, begins, value, stop in _fields(data, start, end):
        made = _rewritten(data, value, stop, path[1:]) if number == path[0] and stop - value > LONG else None
        if made is not None:
            pieces += [data[kept:begins], _field(number, made)]
            kept = stop
    return b"".join([*pieces, data[kept:end]]) if pieces else None


def _node(data: bytes, start: int, end: int) -> bytes | None:
    fields = list(_fields(data, start, end))
    kinds = [data[value:stop] for number, _, value, stop in fields if number == OP_TYPE]
    if not kinds or not kinds[-1].startswith(b"TreeEnsemble"):
        return None
    return b"".join(
        _attribute(data, *field) if field[0] == ATTRIBUTE and field[3] - field[2] > LONG else data[field[1] : field[3]]
        for field in fields
    )


def _attribute(data: bytes, number: int, begins: int, value: int, stop: int) -> bytes:
    """The attribute, or its first rows where it is a table; one in another order or packed stays as it is."""
    name, rows = b"", 0
    for inner, at, first, last in _fields(data, value, stop):
        if inner == NAME:
            name = data[first:last]
        rows += inner in LISTS
        if rows > MAX_LISTED:
            kind = _varint(TYPE << 3) + _varint(LISTS[inner])
            return _field(number, data[value:at] + kind) if name.startswith(TABLES) else data[begins:stop]
    return data[begins:stop]


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | DELIMITED) + _varint(len(value)) + value


def _fields(data: bytes, start: int, end: int) -> Iterator[Field]:
    """The fields of a message, in order; ValueError or IndexError where they do not fill it."""
    at = start
    while at < end:
        begins = at
        tag, at = _read(data, at)
        if tag & 7 == 0:
            value, at = at, _read(data, at)[1]
        elif tag & 7 == DELIMITED:
            length, value = _read(data, at)
            at = value + length
        else:
            value, at = at, at + _LENGTHS[tag & 7] if tag & 7 in _LENGTHS else end + 1
        if at > end:
            raise ValueError("a field goes beyond its message")
        yield tag >> 3, begins, value, at


def _read(data: bytes, at: int) -> tuple[int, int]:
    """(a varint, where it ends)."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at
        if shift > 63:
            raise ValueError("a number of more than ten bytes")


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes((*made, number))
