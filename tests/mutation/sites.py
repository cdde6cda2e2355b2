"""Source files -> Mutants: one change each, by the operators of cosmic-ray, drawn with a seed.

A site is a place and a family of operators (`a + b`, an `if`, a number ...); sites are drawn evenly, and of the changes
possible at a site one, so that an expression with twenty variants counts once.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

Position = tuple[int, int]

# What can not be noticed, or not be a wrong figure: see docs/mutation.md.
SETTINGS_OF_DECORATORS = {"dataclass", "cache", "lru_cache", "cached_property", "contextmanager"}
GUARDS = {"strict"}  # zip(..., strict=True) raises where our own tables disagree; with equal lengths it says nothing
SAYS_WORDS = {"_require"}
ARITHMETIC = {"Add", "Sub", "Mul", "Div", "FloorDiv", "Mod"}


@dataclass(frozen=True)
class Mutant:
    """One file with one change."""

    file: str
    line: int
    column: int
    operator: str
    occurrence: int
    before: str  # the lines changed, as they were
    after: str

    @property
    def key(self) -> str:
        """Names the change whatever line it stands in."""
        return f"{self.file}: `{self.before}` -> `{self.after}`"


def sampled(root: Path, files: Sequence[str], count: int, seed: int) -> list[Mutant]:
    """`count` mutants of the files (all sites if there are fewer), each at a site of its own."""
    dice = random.Random(f"{seed} {files}")
    places = [(file, site) for file in files for site in sites((root / file).read_text())]
    dice.shuffle(places)
    found: list[Mutant] = []
    for file, site in places:
        if len(found) == count:
            break
        source = (root / file).read_text()
        variants = dice.sample(site, len(site))
        found += next(([m] for variant in variants if (m := mutant(file, source, *variant)) is not None), [])
    return found


def again(root: Path, old: Mutant) -> Mutant | None:
    """The same change in the file as it is now, or None where its lines are gone."""
    if not (root / old.file).exists():
        return None
    source = (root / old.file).read_text()
    if old.before not in " ".join(source.split()):
        return None
    lines = [" ".join(line.split()) for line in source.splitlines()]
    variants = [
        v for site in sites(source) for v in site if _short(v[0]) == old.operator and lines[v[2][0] - 1] in old.before
    ]
    for variant in sorted(variants, key=lambda v: (abs(v[2][0] - old.line), abs(v[2][1] - old.column))):
        found = mutant(old.file, source, *variant)
        if found is not None and (found.before, found.after) == (old.before, old.after):
            return found
    return None


Variant = tuple[str, int, Position]  # operator, occurrence, place


@lru_cache(maxsize=256)
def sites(source: str) -> list[list[Variant]]:
    """The changes possible, gathered by place and family."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    nodes, is_excluded = list(ast_nodes(get_ast(source))), excluded(source)
    found: dict[tuple[Position, Position, str], list[Variant]] = {}
    for name in filter(_is_asked, operator_names()):
        operator, occurrence = get_operator(name)(), 0
        for node in nodes:
            for start, stop in operator.mutation_positions(node):
                if not is_excluded(start):
                    found.setdefault((start, stop, _family(name)), []).append((name, occurrence, start))
                occurrence += 1
    return [found[key] for key in sorted(found)]


def _is_asked(name: str) -> bool:
    """Leaves out what needs arguments, and what is the same for small integers and interned names (`==` and `is`)."""
    words = name.split("/")[1].split("_")
    if words[0] in {"VariableReplacer", "VariableInserter"}:
        return False
    if words[0] == "ReplaceComparisonOperator":
        return words[1].startswith("Is") == words[2].startswith("Is")
    if words[0] == "ReplaceBinaryOperator":
        return (words[1] in ARITHMETIC) == (words[2] in ARITHMETIC)
    return True


def _family(name: str) -> str:
    return name.split("/")[1].split("_", maxsplit=1)[0]


def mutant(file: str, source: str, name: str, occurrence: int, place: Position) -> Mutant | None:
    """The change, or None where it is none or no Python."""
    changed = code(source, name, occurrence)
    try:
        if changed is None or ast.dump(ast.parse(changed)) == ast.dump(ast.parse(source)):
            return None
        compile(changed, file, "exec")
    except (SyntaxError, SyntaxWarning):
        return None
    before, after = source.splitlines(), changed.splitlines()
    head = next(i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b)
    back = next(i for i, (a, b) in enumerate(zip(before[::-1], after[::-1], strict=False)) if a != b)
    old, new = (" ".join(" ".join(lines[head : max(head + 1, len(lines) - back)]).split()) for lines in (before, after))
    return Mutant(file, place[0], place[1], _short(name), occurrence, old, new)


def _short(name: str) -> str:
    return name.split("/")[1]


def code(source: str, name: str, occurrence: int) -> str | None:
    """The source with the change."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    full = name if "/" in name else f"core/{name}"
    changed: str | None = mutate_code(source, get_operator(full)(), occurrence)
    return changed


def excluded(source: str) -> Callable[[Position], bool]:
    """Whether a place is one where a change says nothing about figures."""
    lines = source.splitlines()
    spans = []
    for node in _excluded_nodes(ast.parse(source)):
        line, column = node.lineno, _column(lines, node.lineno, node.col_offset)
        is_decorator = column > 0 and lines[line - 1][column - 1] == "@"
        spans.append(((line, column - is_decorator), (node.end_lineno, _column(lines, *_end(node)))))
    return lambda place: any(start <= place < stop for start, stop in spans)


def _end(node: ast.expr | ast.stmt) -> tuple[int, int]:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return node.end_lineno, node.end_col_offset


def _column(lines: list[str], line: int, offset: int) -> int:
    """ast counts bytes, parso counts characters."""
    return len(lines[line - 1].encode()[:offset].decode())


def _excluded_nodes(tree: ast.Module) -> Iterator[ast.expr | ast.stmt]:
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation:
            yield node.annotation
        elif isinstance(node, ast.FunctionDef):
            yield from [node.returns] if node.returns else []
            yield from (decorator for decorator in node.decorator_list if _called(decorator) in SETTINGS_OF_DECORATORS)
        elif isinstance(node, ast.ClassDef):
            yield from node.decorator_list
        elif isinstance(node, ast.AnnAssign):
            yield node if _called(node.annotation) == "TypeAlias" else node.annotation
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield from (*node.exc.args, *(keyword.value for keyword in node.exc.keywords))
        elif isinstance(node, ast.Call) and _called(node) in SAYS_WORDS:
            yield from node.args[1:]
        elif isinstance(node, ast.Call):
            yield from (keyword.value for keyword in node.keywords if keyword.arg in GUARDS)
        elif (isinstance(node, ast.If) and _called(node.test) == "TYPE_CHECKING") or isinstance(
            node, (ast.JoinedStr, ast.Assert)
        ):
            yield node


def _called(node: ast.expr) -> str:
    """The last name of what is called or meant: `dataclass` of @dataclasses.dataclass(frozen=True)."""
    if isinstance(node, ast.Call):
        return _called(node.func)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


@lru_cache(maxsize=256)
def inside_functions(source: str) -> frozenset[int]:
    """The lines of function bodies, which run when they are called; all others run on import."""
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return frozenset(line for f in functions for line in range(f.body[0].lineno, (f.end_lineno or 0) + 1))
