"""Program -> Units: the modules that fully_shard is put on, with the calls that run them.

A unit is a member of a numbered container (`blocks.0` of `blocks`), the outermost one that a parameter's name shows;
what is in none belongs to the root. This is what PyTorch's documentation does: fully_shard on every block, then on the
model.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from graphmem.autograd.program import Call, Program

ROOT = ""
_AGAIN = re.compile(r"@\d+")


@dataclass(frozen=True, slots=True)
class Unit:
    """`runs` are half-open ranges of the program's calls: each is one call of the module."""

    name: str
    parameters: tuple[str, ...]
    runs: tuple[tuple[int, int], ...]


def units(program: Program) -> list[Unit]:
    """The root first, then blocks in the order in which they run."""
    owner = _owners(program)
    names = frozenset(g.name for g in program.of("parameter"))
    inner = frozenset(owner.values())
    labels = [_label(call, owner, inner, names) for call in program.calls]
    runs: dict[str, list[tuple[int, int]]] = defaultdict(list)
    current = ROOT
    for position, label in enumerate(labels):
        if label is None:
            continue
        if label == current and runs[label]:
            runs[label][-1] = (runs[label][-1][0], position + 1)
        else:
            runs[label].append((position, position + 1))
        current = label
    held: dict[str, list[str]] = defaultdict(list)
    for given in program.of("parameter"):
        held[owner.get(given.name, ROOT)].append(given.name)
    root = Unit(ROOT, tuple(held[ROOT]), ((0, len(program.calls)),))
    return [
        root,
        *(Unit(name, tuple(held[name]), tuple(spans)) for name, spans in runs.items() if held.get(name) and name),
    ]


def _owners(program: Program) -> dict[str, str]:
    """Parameter -> block, for containers with two members or more."""
    named = {g.name: _numbered(g.name) for g in program.of("parameter")}
    readers = {name: call for call in reversed(program.calls) for name in call.reads}
    for name, block in named.items():
        if block is None and name in readers:
            named[name] = next(filter(None, map(_numbered, _paths(readers[name]))), None)
    members: dict[str, set[str]] = defaultdict(set)
    for block in named.values():
        if block is not None:
            members[block.rpartition(".")[0]].add(block)
    return {n: b for n, b in named.items() if b is not None and len(members[b.rpartition(".")[0]]) > 1}


def _numbered(name: str) -> str | None:
    """`layers.3` of `layers.3.attn.weight`: the name up to its first number, which something must follow."""
    parts = name.split(".")
    for i, part in enumerate(parts[:-1]):
        if part.isdecimal():
            return ".".join(parts[: i + 1])
    return None


def _label(call: Call, owner: dict[str, str], blocks: frozenset[str], parameters: frozenset[str]) -> str | None:
    """The block that a call is part of, ROOT for another module's, or None where nothing says."""
    paths = _paths(call)
    for block in filter(None, map(_numbered, paths)):
        if block in blocks:
            return block
    for name in call.reads:
        if name in parameters:
            return owner.get(name, ROOT)
    return ROOT if paths else None


def _paths(call: Call) -> list[str]:
    """The modules that a call is inside of, each with a dot; exporters write them all, or the innermost.

    A module that is called again is written `blocks.0@1` by torch.export.
    """
    return [_AGAIN.sub("", path) + "." for path in (call.origin.path or (call.origin.scope,)) if path]
