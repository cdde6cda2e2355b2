"""Figures that are done, in a file that only grows: what a sweep that was killed, or ran last night, need not do again.

    {"graphmem": "sweep-journal/1"}
    {"key": "9f...", "figure": [peak, needed, exactness, note, error, seconds], "beside": [[name, size, mtime_ns]...]}

A key is a hash of everything that a figure depends on. Of the lines only the places are kept in memory. A last
line that was torn when the sweep was killed is cut off; a line that cannot be read counts as not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from graphmem.fleet.figures import Figure
from graphmem.fleet.work import states
from graphmem.ir.errors import OptionError

HEADER = b'{"graphmem": "sweep-journal/1"}\n'
DIGITS = 32


def key_of(**parts: Any) -> str:
    """The hash of named values."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


class Journal:
    """The figures in the file at `path`, or in one that goes away with the sweep when None."""

    def __init__(self, path: Path | None, is_fresh: bool = False, drops_errors: bool = False) -> None:
        self.path = path
        self.places: dict[str, int] = {}
        if path is None:
            self.file: Any = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - closed by close
            self.file.write(HEADER)
            return
        try:
            self.file = path.open("a+b")
        except OSError as error:
            raise OptionError(f"the journal '{path}' cannot be written: {error.strerror}") from error
        try:
            _lock(self.file, path)
            self._index(drops_errors)
            if is_fresh:  # only once it is known to be a journal
                self.places.clear()
                self.file.truncate(len(HEADER))
        except BaseException:
            self.file.close()
            raise

    def close(self) -> None:
        """Close the file, which gives its lock back."""
        self.file.close()

    def _index(self, drops_errors: bool) -> None:
        """Find every whole line, but for errors where they are to be dropped; cut off a torn one."""
        self.file.seek(0)
        at = 0
        for line in self.file:
            if not line.endswith(b"\n"):
                break
            if at == 0 and line != HEADER:
                raise OptionError(f"'{self.path}' is not a journal of graphmem sweep; move it away, or write elsewhere")
            entry = _entry(line)
            if entry is not None and not (drops_errors and entry["figure"][4]):
                self.places[str(entry["key"])] = at
            at += len(line)
        self.file.truncate(at)
        self.file.seek(0, os.SEEK_END)
        if at == 0:
            self.file.write(HEADER)
            self.file.flush()

    def get(self, key: str, location: str = "") -> Figure | None:
        """The figure of that key, unless it is not there or depends on other files than lie beside `location` now."""
        if key not in self.places:
            return None
        self.file.seek(self.places[key])
        entry = _entry(self.file.readline())
        self.file.seek(0, os.SEEK_END)
        if entry is None:
            return None
        beside = tuple((str(name), size, time) for name, size, time in entry["beside"])
        return Figure(*entry["figure"]) if beside == states(location, (name for name, _, _ in beside)) else None

    def drop(self, key: str) -> None:
        """Forget a figure."""
        self.places.pop(key, None)

    def add(self, figures: Iterable[tuple[str, Figure]], beside: Iterable[tuple[str, int, int]] = ()) -> None:
        """Write figures down, all of a task in one go."""
        at, lines = self.file.seek(0, os.SEEK_END), []
        for key, found in figures:
            figure = [found.peak, found.needed, found.exactness, found.note, found.error, found.seconds]
            line = (json.dumps({"key": key, "figure": figure, "beside": list(beside)}) + "\n").encode()
            self.places[key] = at
            at += len(line)
            lines.append(line)
        self.file.write(b"".join(lines))
        self.file.flush()


def _lock(file: Any, path: Path) -> None:
    """Keep a second sweep from writing the same journal; where the system has no such locks, trust the caller."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OptionError(f"another sweep is writing '{path}'; wait for it, or write to another file") from error
    except OSError:  # a network file system without locks
        return


def _entry(line: bytes) -> Mapping[str, Any] | None:
    try:
        entry = json.loads(line)
        Figure(*entry["figure"])
        return entry if isinstance(entry["beside"], list) and "key" in entry else None
    except (ValueError, KeyError, TypeError):
        return None
