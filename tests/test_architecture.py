"""The floors of the house: a file imports only from floors below its own (docs/architecture.md)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "graphmem"

# room -> floor. Rooms of one floor do not know each other.
FLOORS: dict[str, int] = {
    "ir": 1,
    "reader": 2,
    "passes": 2,
    "raising": 2,
    "autograd": 2,
    "memory": 2,
    "planner": 2,
    "checkpoint": 2,
    "measure": 2,
    "report": 2,
    "schedule": 3,
    "ort": 4,
    "fitting": 4,  # not "fit": a submodule of that name would hide the function graphmem.fit once it is imported
    "api": 5,
    "fleet": 5,  # nor "sweep", likewise
    "cli": 6,
}

# Heavy or optional packages and the only rooms that may import them.
GUESTS: dict[str, set[str]] = {
    "onnx": {"reader", "measure"},
    "onnxruntime": {"measure"},
    "torch": {"measure"},
    "graphviz": {"report"},
    "pygraphviz": {"report"},
    "click": {"cli"},
    "rich": {"cli", "report"},
    "ortools": {"planner", "checkpoint"},
    "scipy": {"checkpoint"},
    "distributed": {"fleet"},
    "fsspec": {"fleet"},
    "pyarrow": {"fleet"},
}

# Packages too slow to import for `graphmem --help`: only ever imported inside a function, outside the listed rooms.
LAZY = {
    "onnx": {"reader"},
    "onnxruntime": set(),
    "torch": set(),
    "ortools": set(),
    "scipy": set(),
    "graphviz": set(),
    "pygraphviz": set(),
    "distributed": set(),
    "fsspec": set(),
    "pyarrow": set(),
}


def room_of(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] != "graphmem" or len(parts) == 1:
        return None
    return parts[1]


def imports(tree: ast.AST) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide the room"
            found.append((node.lineno, node.module or ""))
            if node.module == "graphmem":
                found += [(node.lineno, f"graphmem.{alias.name}") for alias in node.names]
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_imports_only_from_floors_below_its_own(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if own in ("__init__", "__main__"):
        return  # the front doors: public names, re-exported lazily, and the command
    floor = FLOORS[own]
    for line, module in imports(ast.parse(path.read_text())):
        room = room_of(module)
        if room is None or room == own or room.startswith("__"):
            continue
        assert FLOORS[room] < floor, f"{path}:{line}: {own} (floor {floor}) imports {room} (floor {FLOORS[room]})"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_guest_packages_stay_in_their_rooms(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    for line, module in imports(ast.parse(path.read_text())):
        guest = module.split(".")[0]
        assert own in GUESTS.get(guest, {own}), f"{path}:{line}: {guest} is not a guest of {own}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_opens_with_one_sentence(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring, f"{path}: no module docstring"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_slow_packages_are_imported_inside_functions(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    tree = ast.parse(path.read_text())
    top = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    for line, module in imports(ast.Module(body=list(top), type_ignores=[])):
        guest = module.split(".")[0]
        if guest in LAZY:
            assert own in LAZY[guest], f"{path}:{line}: {guest} is slow to import; import it inside the function"


def of_house(path: Path) -> str:
    parts = ("graphmem", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_two_files_need_each_other() -> None:
    """Also inside functions: a circle of late imports is a circle."""
    names = {of_house(path) for path in FILES}
    needs: dict[str, set[str]] = {}
    for path in FILES:
        own = of_house(path)
        found: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module in names:
                inner = {f"{node.module}.{alias.name}" for alias in node.names} & names
                found |= inner if len(inner) == len(node.names) else inner | {node.module}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names} & names
        needs[own] = found - {own}
    circles = sorted({tuple(sorted(group)) for group in strongly_connected(needs)})
    assert not circles


def strongly_connected(needs: dict[str, set[str]]) -> list[set[str]]:
    """Groups of files that reach each other."""
    reach: dict[str, set[str]] = {}
    for start in sorted(needs):
        seen: set[str] = set()
        stack = [start]
        while stack:
            new = needs[stack.pop()] - seen
            seen |= new
            stack += new
        reach[start] = seen
    return [{other for other in reach[one] if one in reach[other]} for one in sorted(reach) if one in reach[one]]
