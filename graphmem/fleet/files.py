"""PATHS -> the model files of a fleet, and the bytes of one: files, folders, globs, lists, and URLs where fsspec is."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from graphmem.ir.errors import ModelError, OptionError

SUFFIX = ".onnx"
CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model as the caller named it, and where any worker finds it: an absolute path or a URL."""

    name: str
    location: str


def model_files(paths: Iterable[str | Path]) -> tuple[ModelFile, ...]:
    """The files that `paths` name, in their order and each once; folders and globs in the order of names.

    A path is a file, a folder (searched for *.onnx), a glob, "@FILE" for a list with one path a line, or a URL that
    fsspec opens. OptionError for a folder or glob without a model, and for a list that cannot be read.
    """
    found: dict[str, ModelFile] = {}
    for path in paths:
        for name in _names(str(path)):
            location = _location(name)
            shown = name.encode("utf-8", "backslashreplace").decode()  # a name that is no text, as it can be written
            found.setdefault(location, ModelFile(shown, location))
    if not found:
        raise OptionError("no model to sweep; give files, folders, globs or @FILE")
    return tuple(found.values())


def _names(path: str) -> Sequence[str]:
    if path.startswith("@"):
        return [name for line in _lines(path[1:]) for name in _matches(line)]
    found = _matches(path)
    if not found or (found == [path] and not is_url(path) and not Path(path).exists()):
        raise OptionError(f"'{path}' names no model file; give an .onnx file, a folder with some, a glob or @FILE")
    return found


def _lines(path: str) -> Iterator[str]:
    """The paths of a list; empty lines and those that start with "#" say nothing."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"the list '{path}' cannot be read: {getattr(error, 'strerror', None) or error}") from error
    yield from (line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))


def _matches(path: str) -> list[str]:
    """The files of a folder or glob in the order of their names; any other path itself, be it there or not."""
    if is_url(path):
        return _remote_matches(path)
    if Path(path).is_dir():
        return sorted(found.as_posix() for found in Path(path).rglob(f"*{SUFFIX}") if found.is_file())
    if glob.has_magic(path) and not Path(path).exists():
        return sorted(name for name in glob.glob(path, recursive=True) if Path(name).is_file())  # noqa: PTH207 - a path
    return [path]


def is_url(path: str) -> bool:
    """True for "s3://bucket/x.onnx" and its like."""
    return "://" in path


def _location(name: str) -> str:
    if name.startswith("file://"):
        return unquote(urlsplit(name).path)
    return name if is_url(name) else str(Path(name).absolute())


def _remote_matches(url: str) -> list[str]:
    if url.startswith("file://"):
        return [f"file://{name}" for name in _matches(_location(url))]
    protocol = url.partition("://")[0]
    files, path = _filesystem(url)
    try:
        if glob.has_magic(path):
            names = files.glob(path)
        elif files.isdir(path):
            names = [name for name in files.find(path) if name.endswith(SUFFIX)]
        else:
            return [url]
    except Exception as error:  # whatever the file system of the URL raises
        raise OptionError(f"'{url}' cannot be listed: {_said(error)}") from error
    return sorted(f"{protocol}://{str(name).lstrip('/')}" for name in names)


def _filesystem(url: str) -> tuple[Any, str]:
    try:
        import fsspec.core
    except ImportError as error:
        raise OptionError(f"'{url}' needs fsspec: pip install 'graphmem[remote]'") from error
    try:
        files, path = fsspec.core.url_to_fs(url)
    except Exception as error:  # a protocol that is not known, or whose package is not installed
        raise OptionError(f"'{url}' cannot be opened: {_said(error)}") from error
    return files, str(path)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def content(location: str) -> bytes:
    """The bytes of a file; ModelError in words that hold wherever the file lies."""
    with _opened(location) as file:
        return bytes(file.read())


def digest(location: str) -> str:
    """SHA-256 of a file, external data not included, read in pieces."""
    made = hashlib.sha256()
    with _opened(location) as file:
        while piece := file.read(CHUNK):
            made.update(piece)
    return made.hexdigest()


class _opened:  # noqa: N801 - used as a function
    """A file open for reading; what goes wrong on the way is a ModelError."""

    def __init__(self, location: str) -> None:
        self.location = location

    def __enter__(self) -> Any:
        try:
            if is_url(self.location):
                files, path = _filesystem(self.location)
                self.file = files.open(path, "rb")
            else:
                self.file = Path(self.location).open("rb")
        except OptionError as error:
            raise ModelError(str(error)) from error
        except Exception as error:  # OSError, or what the file system of a URL raises
            raise ModelError(f"the file cannot be read: {getattr(error, 'strerror', None) or _said(error)}") from error
        return self.file

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.file.close()
        if isinstance(error, OSError):
            raise ModelError(f"the file cannot be read: {error.strerror or error}") from error
