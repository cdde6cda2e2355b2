"""Nothing but ir/quoting.py escapes a model's text, and nothing but report/terminal.py has a console."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "graphmem"
ROOMS = ("report", "cli", "planner", "fitting", "fleet", "api", "ort")
# What writes or escapes by itself -> the files that may: ours reads them back, or no text of a model is in it.
WRITERS = {
    r"json\.dumps\(": {"fleet/results.py", "fleet/journal.py", "cli/devices.py"},
    r"\bescape\(|\bquote\(|xml\.sax|repr\(": set(),
    r"csv\.writer\(": {"fleet/results.py", "planner/table.py", "report/exports/viewers.py"},
    r"\bConsole\(": {"cli/fit.py", "cli/sweep.py"},
    r"\"\"\"\s*\+|'''\s*\+": set(),
}


@pytest.mark.parametrize("pattern", WRITERS)
def test_there_is_no_other_way_to_write_a_models_text(pattern: str) -> None:
    files = [path for room in ROOMS for path in sorted((PACKAGE / room).rglob("*.py"))]
    found = {p.relative_to(PACKAGE).as_posix() for p in files if re.search(pattern, p.read_text(encoding="utf-8"))}
    assert found <= WRITERS[pattern]


def test_scripts_of_the_page_write_text_and_no_markup() -> None:
    for path in sorted((PACKAGE / "report" / "page").glob("*.js")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|Function\(", text), path
