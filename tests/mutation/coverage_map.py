"""Test files -> for each test its seconds and the lines of the rooms that it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

Lines = dict[str, list[int]]


@dataclass
class Map:
    """What each test that passes runs."""

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, Lines] = field(default_factory=dict)
    _of_file: dict[str, dict[str, set[int]]] = field(default_factory=dict)

    def asked(self, file: str, line: int, is_imported: bool, limit: float) -> list[str]:
        """The tests that run the line, the quickest first; where that is not known, all that run any of the file.

        A line that runs on import (`is_imported`) seems to be run by the first test that comes alone.
        """
        if file not in self._of_file:
            self._of_file[file] = {test: set(found.get(file, ())) for test, found in self.lines.items()}
        runs = self._of_file[file]
        reaching = [test for test, own in runs.items() if line in own and not is_imported]
        chosen = reaching or [test for test, own in runs.items() if own]
        kept, total = [], 0.0
        for test in sorted(chosen, key=lambda t: (self.seconds[t], t)):
            total += self.seconds[test]
            if total > limit:
                break
            kept.append(test)
        return kept

    def update(self, other: Map) -> None:
        """Add the tests of another file."""
        self.seconds.update(other.seconds)
        self.lines.update(other.lines)

    def write(self, path: Path) -> None:
        """Keep it as JSON."""
        path.write_text(json.dumps({"seconds": self.seconds, "lines": self.lines}))

    @classmethod
    def read(cls, path: Path) -> Map:
        """What was kept."""
        return cls(**json.loads(path.read_text()))


class Watcher:
    """Switches the coverage context with the tests, and measures them."""

    def __init__(self, cover: object, slowest: float) -> None:
        self.cover, self.slowest = cover, slowest
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.cover.switch_context(item.nodeid)  # type: ignore[attr-defined]
        start = time.process_time()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = time.process_time() - start
            self.cover.switch_context("")  # type: ignore[attr-defined]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self.failed.add(report.nodeid)


def mapped(test_file: str, sources: Sequence[str], arguments: Sequence[str], slowest: float) -> Map:
    """The map of one test file; to be called in a process of its own. Tests that fail or skip are left out."""
    import coverage

    cover = coverage.Coverage(data_file=None, include=list(sources), config_file=False)
    cover.start()
    watcher = Watcher(cover, slowest)
    pytest.main([*arguments, test_file], plugins=[watcher])
    cover.stop()
    data, found = cover.get_data(), Map()
    passed = {test: t for test, t in watcher.seconds.items() if test not in watcher.failed and t <= slowest}
    found.seconds.update(passed)
    found.lines.update({test: {} for test in passed})
    for path in data.measured_files():
        file = str(Path(path).relative_to(Path.cwd()))
        for line, contexts in data.contexts_by_lineno(path).items():
            for test in contexts:
                if test in passed:
                    found.lines[test].setdefault(file, []).append(line)
    return found
