"""Mutants -> killed, survived: each in a forked process that imports the changed module from memory and runs tests.

Nothing is written to the tree. The parent has imported pytest, numpy and onnx but nothing of graphmem; a child imports
graphmem anew, with the changed source in place of the file. Limits are of CPU time, so that a busy machine kills none.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.abc
import importlib.util
import os
import resource
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType

import pytest

LIMIT_BYTES = 6 << 30
QUIET = (
    "-x",
    "-q",
    "--no-header",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "--tb=line",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)
PRELOADED = (
    "_pytest.assertion.rewrite",
    "hypothesis",
    "numpy",
    "onnx",
    "onnx.parser",
    "onnx.shape_inference",
    "onnx.reference",
    "onnxruntime",
    "click",
    "rich.console",
)


class Changed(importlib.abc.MetaPathFinder, SourceFileLoader):
    """Imports one module from a changed source."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self.source = source

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        return (
            importlib.util.spec_from_file_location(fullname, self.path, loader=self) if fullname == self.name else None
        )

    def get_code(self, _: str) -> CodeType:
        return compile(self.source, self.path, "exec", dont_inherit=True)


class Chosen:
    """Keeps the tests named, in their order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self.rank = {test: i for i, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self.rank), key=lambda i: self.rank[i.nodeid])


def survives(root: Path, file: str, changed: str, tests: Sequence[str]) -> bool:
    """Whether all tests pass with the changed source; to be called in a process of its own."""
    name = file.removesuffix(".py").replace("/", ".")
    sys.meta_path.insert(0, Changed(name, str(root / file), changed))
    files = list(dict.fromkeys(test.split("::")[0] for test in tests))
    return pytest.main([*QUIET, *files], plugins=[Chosen(tests)]) == pytest.ExitCode.OK


def prepare() -> None:
    """Import what all children need, so that a fork has it."""
    for name in PRELOADED:
        importlib.import_module(name)
    from hypothesis import settings

    settings.register_profile("mutation", derandomize=True, database=None, deadline=None)
    settings.load_profile("mutation")
    gc.collect()
    gc.freeze()
    assert not any(name.startswith("graphmem") for name in sys.modules)


def forked(work: Callable[[], int], seconds: float) -> int:
    """The pid of a child that does the work and exits with its code, silent, in at most so many seconds of CPU."""
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        sys.dont_write_bytecode = True
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 1))
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
        with Path(os.environ.get("MUTLOG", os.devnull)).open("a") as null:
            os.dup2(null.fileno(), 1)
            os.dup2(null.fileno(), 2)
        code = work()
    except BaseException:
        with contextlib.suppress(Exception):
            traceback.print_exc()
    finally:
        os._exit(code)


def all_of(works: Iterable[tuple[Callable[[], int], float]], processes: int) -> Iterator[tuple[int, int | None]]:
    """(index, exit code, or None if a signal ended it) of every work, as they end; so many at once."""
    running: dict[int, int] = {}
    waiting = enumerate(works)
    while True:
        for index, (work, seconds) in waiting:
            running[forked(work, seconds)] = index
            if len(running) == processes:
                break
        if not running:
            return
        pid, status = os.wait()
        yield running.pop(pid), os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else None
