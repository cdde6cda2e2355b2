"""Shared fixtures: models written as ten lines of ONNX text, and the measured networks beside the repository."""

from __future__ import annotations

import os
import resource
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import onnx
import onnx.parser
import pytest
from hypothesis import settings

from graphmem.ir.errors import STRICT

settings.register_profile("graphmem", deadline=None)  # no test depends on how busy the machine is
settings.load_profile("graphmem")
SHARED = Path(__file__).parents[1].parent / "shared"
HEADER = '<ir_version: 8, opset_import: ["" : 17]>\n'


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    """A rule of ours that trips fails the test, where users would get a call without a rule."""
    before = STRICT.set(True)
    yield
    STRICT.reset(before)


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Path]:
    """Write ONNX text (with or without its header) as an .onnx file; the path."""

    def write(text: str, name: str = "model.onnx") -> Path:
        text = text if text.lstrip().startswith("<") else HEADER + text
        path = tmp_path / name
        path.write_bytes(onnx.parser.parse_model(text).SerializeToString())
        return path

    return write


class Finished(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def graphmem_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Finished]:
    """Run the command line in this process, as the console script does."""
    from graphmem.cli import main

    def run(*arguments: object) -> Finished:
        monkeypatch.setattr(sys, "argv", ["graphmem", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Finished(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def guarded_command() -> Callable[..., Finished]:
    """Run the command line in a child that may take seconds of CPU and 2 GB, and nothing else: it may hang or abort."""
    return guarded


def guarded(*arguments: object, seconds: int = 20, nbytes: int = 2 << 30) -> Finished:
    """How the command ends in a forked child under these limits; a code below 0 is the signal that ended it."""
    from graphmem.cli import main

    with TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads: the child only runs the command
        texts = [Path(scratch) / name for name in ("out", "err")]
        child = os.fork()
        if not child:
            for number, path in enumerate(texts, 1):
                os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY), number)
                setattr(sys, path.name.join(("std", "")), os.fdopen(number, "w", encoding="utf-8", closefd=False))
            os._exit(_limited(main, [*map(str, arguments)], seconds, nbytes))
        _, status = os.waitpid(child, 0)
        return Finished(os.waitstatus_to_exitcode(status), *(path.read_text(encoding="utf-8") for path in texts))


def _limited(main: Callable[[], None], arguments: list[str], seconds: int, nbytes: int) -> int:
    """The code that `main` exits with, or 70 after a traceback on stderr."""
    sys.argv = ["graphmem", *arguments]
    used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, used + seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (nbytes + _address_space(), -1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.resetwarnings()
    warnings.simplefilter("default")
    STRICT.set(False)  # as users run it
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        return 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files of the reports")
    parser.addoption("--all-networks", action="store_true", help="ask the slow oracles about everything they know")
