"""The rooms that are mutated, and the tests that have to notice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Room:
    """Source files, and the test files whose tests are asked; both are patterns below the repository."""

    name: str
    sources: tuple[str, ...]
    tests: tuple[str, ...]

    def files(self, root: Path) -> tuple[str, ...]:
        """The source files that are there, without those that hold nothing but imports."""
        found = [path for pattern in self.sources for path in sorted(root.glob(pattern)) if path.name != "__init__.py"]
        return tuple(str(path.relative_to(root)) for path in found)


READER_FILES = ("infer", "bounded", "control", "loops", "constants", "data_dependent", "dims")
READER_TESTS = ("tests/reader/test_*.py", "tests/schedule/test_bodies.py", "tests/oracle/test_contrib.py")

ROOMS = (
    Room("reader rules", ("graphmem/reader/rules/*.py",), READER_TESTS),
    Room("reader", tuple(f"graphmem/reader/{name}.py" for name in READER_FILES), READER_TESTS),
    Room("autograd rules", ("graphmem/autograd/rules/*.py",), ("tests/autograd/test_*.py",)),
    Room("memory", ("graphmem/memory/*.py",), ("tests/memory/test_*.py",)),
    Room("checkpoint evaluation", ("graphmem/checkpoint/evaluate.py",), ("tests/checkpoint/test_evaluate.py",)),
    Room("planner's verifier", ("graphmem/planner/verify.py",), ("tests/planner/test_verify.py",)),
)


def files_of_tests(root: Path, rooms: Iterable[Room]) -> tuple[str, ...]:
    """Every test file of the rooms, once."""
    patterns = dict.fromkeys(pattern for room in rooms for pattern in room.tests)
    return tuple(dict.fromkeys(str(p.relative_to(root)) for pattern in patterns for p in sorted(root.glob(pattern))))
