"""Records <-> results files: .csv, .json (graphmem.sweep/1) and .parquet, written row by row, whole or not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import IO, Any

from graphmem.ir.errors import OptionError
from graphmem.ir.fleet import COLUMNS, SweepRecord
from graphmem.ir.quoting import csv_cell, csv_name

Add = Callable[[SweepRecord], None]
ROWS_AT_ONCE = 65_536  # of a parquet row group

_TYPES = {field.name: str(field.type) for field in fields(SweepRecord)}
_values = attrgetter(*COLUMNS)
_EMPTY: Mapping[str, Any] = {"str": "", "int | None": None, "bool": False, "float": 0.0}


@contextmanager
def csv_rows(file: IO[str]) -> Iterator[Add]:
    """Rows under a header; None is an empty field."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    yield lambda row: writer.writerow([_cell(value) for value in _values(row)])


def _named_values(row: SweepRecord) -> dict[str, Any]:
    return dict(zip(COLUMNS, _values(row), strict=True))


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else csv_cell(value) if isinstance(value, str) else value


@contextmanager
def _csv(path: Path) -> Iterator[Add]:
    with path.open("w", encoding="utf-8", newline="") as file, csv_rows(file) as add:
        yield add


@contextmanager
def _json(path: Path) -> Iterator[Add]:
    with path.open("w", encoding="utf-8") as file:
        file.write('{"schema": "graphmem.sweep/1", "rows": [')
        count = 0

        def add(row: SweepRecord) -> None:
            nonlocal count
            file.write((",\n" if count else "\n") + json.dumps(_named_values(row), ensure_ascii=False))
            count += 1

        yield add
        file.write("\n]}\n")


@contextmanager
def _parquet(path: Path) -> Iterator[Add]:
    pyarrow, parquet = _pyarrow()
    kinds = {
        "str": pyarrow.string(),
        "int | None": pyarrow.int64(),
        "bool": pyarrow.bool_(),
        "float": pyarrow.float64(),
    }
    schema = pyarrow.schema([(name, kinds[_TYPES[name]]) for name in COLUMNS])
    held: list[dict[str, Any]] = []
    with parquet.ParquetWriter(path, schema) as writer:

        def flush() -> None:
            writer.write_table(pyarrow.Table.from_pylist(held, schema))
            held.clear()

        def add(row: SweepRecord) -> None:
            held.append(_named_values(row))
            if len(held) == ROWS_AT_ONCE:
                flush()

        yield add
        flush()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise OptionError(
            "a .parquet file needs pyarrow: pip install 'graphmem[parquet]', or write .csv or .json"
        ) from error
    return pyarrow, pyarrow.parquet


_WRITERS = {".csv": _csv, ".json": _json, ".parquet": _parquet}


def check_results_path(path: Path) -> None:
    """OptionError unless results can be written there."""
    if path.suffix not in _WRITERS:
        raise OptionError(f"'{path}' is no results file; its name must end in {', '.join(_WRITERS)}")
    if path.suffix == ".parquet":
        _pyarrow()
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise OptionError(f"'{path}' cannot be written: there is no such folder, or it is one itself")


@contextmanager
def results_file(path: Path) -> Iterator[Add]:
    """A function that adds rows to the file at `path`, which is replaced when all of them are there."""
    check_results_path(path)
    part = path.with_name(f".{path.name}.part{path.suffix}")
    try:
        with _WRITERS[path.suffix](part) as add:
            yield add
        part.replace(path)
    except OSError as error:
        raise OptionError(f"'{path}' cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def read_results(path: Path) -> list[SweepRecord]:
    """The rows of a results file; columns that a newer or older version has or lacks are ignored or empty."""
    try:
        rows = _READERS[path.suffix](path)
        return [SweepRecord(**{name: _typed(name, row.get(name)) for name in COLUMNS}) for row in rows if _named(row)]
    except OptionError:
        raise
    except OSError as error:
        raise OptionError(f"'{path}' cannot be read: {error.strerror or error}") from error
    except Exception as error:  # of csv, json or pyarrow, on whatever the file holds
        raise OptionError(f"'{path}' is not a results file of graphmem sweep (.csv, .json or .parquet)") from error


def _named(row: Mapping[str, Any]) -> bool:
    if not {"model", "mode", "peak_bytes"} <= row.keys():
        raise ValueError("no column 'model'")
    return True


def _typed(name: str, value: Any) -> Any:
    kind = _TYPES[name]
    if value is None or (value == "" and kind != "str"):
        return _EMPTY[kind]
    if kind == "bool":
        return value if isinstance(value, bool) else value == "true"
    return {"str": str, "int | None": int, "float": float}[kind](value)


def _read_csv(path: Path) -> list[dict[str, Any]]:
    csv.field_size_limit(1 << 30)
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        _named(dict.fromkeys(table.fieldnames or ()))
        return [{name: csv_name(cell or "") for name, cell in row.items() if name} for row in table]


def _read_json(path: Path) -> list[dict[str, Any]]:
    document = json.loads(path.read_text(encoding="utf-8"))
    if document["schema"] != "graphmem.sweep/1":
        raise ValueError(document["schema"])
    return list(document["rows"])


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    return list(_pyarrow()[1].read_table(path).to_pylist())


_READERS = {".csv": _read_csv, ".json": _read_json, ".parquet": _read_parquet}
