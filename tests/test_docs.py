"""What docs, comments and docstrings cite of this repository is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "graphmem"
PROSE = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("models/*.md")]
CODE = [*PACKAGE.rglob("*.py"), *ROOT.glob("benchmarks/*.py"), *ROOT.glob("tests/**/*.py")]
CITED = re.compile(r"(?<![\w./-])((?:\w+/)+\w+\.(?:py|md|csv|json|toml)|(?:\w+/)+(?=[`,;.) ]))")
# Its first folder says that a path is one of this repository, from its root or from the package.
OWN = {path.name for root in (ROOT, PACKAGE) for path in root.iterdir() if path.is_dir()} | {"runtime", "ops"}


@pytest.mark.parametrize("path", sorted([*PROSE, *CODE]), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_file_that_is_cited_is_there(path: Path) -> None:
    text = path.read_text()
    if path.suffix == ".py":
        text = "\n".join(re.findall(r'""".*?"""|#[^\n]*', text, flags=re.DOTALL))
    names = {name for name in CITED.findall(text) if name.split("/")[0] in OWN}
    roots = (ROOT, PACKAGE, path.parent, ROOT / "docs")
    assert not {name for name in names if not any((root / name).exists() for root in roots)}
