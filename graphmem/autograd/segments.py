"""Program, patterns -> Segments: the runs of calls that torch.utils.checkpoint is wrapped around, by module call.

A pattern stands for the outermost module calls that it matches; here "h.*" wraps h.0, h.1, ...:

    path of each call   ()   (h.0,)  (h.0, h.0.mlp)  (h.0,)   (h.1,) ...
    module calls             h.0 ------------------------>    h.1 ...
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from math import ceil, sqrt

from graphmem.autograd.saved_hooks import KEEPABLE
from graphmem.ir.errors import OptionError
from graphmem.ir.program import Call, Program

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Segment:
    """Calls start..stop (half-open) that run as one checkpointed function: those of the module call `scope`."""

    scope: str
    start: int
    stop: int
    module: str = ""  # class, "" where the file does not say
    keep: frozenset[str] = frozenset()  # what a selective policy keeps: see recomputation.KEEPABLE


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """One call of a module, with its place among the modules around it (0 is outermost)."""

    scope: str
    depth: int
    start: int
    stop: int
    module: str


def segments_of(program: Program, specs: Sequence[str]) -> tuple[Segment, ...]:
    """The segments that the specs ask for together, in order, none inside another.

    A spec is a pattern of module scopes as in the shell, "blocks", "every:K" or "sqrt"; ":keep=addmm,sdpa" behind it
    is a selective policy (docs/checkpointing.md).
    Raises OptionError for a spec that nothing fits, or a module whose calls are not in one run.
    """
    calls = module_calls(program)
    wanted = [segment for spec in specs for segment in _of_spec(calls, spec)]
    kept: list[Segment] = []
    for segment in sorted(wanted, key=lambda s: (s.start, -s.stop, s.scope)):
        if not kept or segment.start >= kept[-1].stop:
            kept.append(segment)
        elif segment.stop > kept[-1].stop:
            raise OptionError(f"checkpointing '{kept[-1].scope}' and '{segment.scope}' overlaps; name one of them")
    return tuple(kept)


def _of_spec(calls: Sequence[ModuleCall], spec: str) -> list[Segment]:
    pattern, _, names = spec.partition(":keep=")
    keep = frozenset(name for name in names.split(",") if name)
    wrong = sorted(name for name in keep if name.partition("#")[0] not in KEEPABLE.values())
    if wrong:
        raise OptionError(f"checkpoint '{spec}' cannot keep '{wrong[0]}'; it is one of {', '.join(KEEPABLE.values())}")
    return [replace(segment, keep=keep) for segment in _of_pattern(calls, pattern)]


def _of_pattern(calls: Sequence[ModuleCall], spec: str) -> list[Segment]:
    if spec in ("blocks", "sqrt") or spec.startswith("every:"):
        found = blocks(calls)
        if not found:
            raise OptionError(f"checkpoint '{spec}': no repeated blocks were found; name module scopes, {_some(calls)}")
        return _sqrt(found) if spec == "sqrt" else [_segment(c) for c in found[:: _step(spec)]]
    matched = _outermost([c for c in calls if fnmatchcase(c.scope, spec)])
    if not matched:
        raise OptionError(f"checkpoint '{spec}' matches no module of the file; there are {_some(calls)}")
    _check_contiguous(calls, matched)
    return [_segment(c) for c in matched]


def _step(spec: str) -> int:
    number = spec.partition(":")[2] or "1"
    if not number.isdecimal() or int(number) < 1:
        raise OptionError(f"checkpoint '{spec}': the number after 'every:' must be 1 or more, such as every:2")
    return int(number)


def _sqrt(found: Sequence[ModuleCall]) -> list[Segment]:
    """Groups of sqrt(n) blocks, the last group not checkpointed, as torch.utils.checkpoint_sequential does."""
    size = ceil(sqrt(len(found)))
    groups = [found[i : i + size] for i in range(0, len(found), size)]
    return [
        Segment(f"{group[0].scope} to {group[-1].scope}", group[0].start, group[-1].stop, group[0].module)
        for group in groups[:-1]
    ]


def _segment(call: ModuleCall) -> Segment:
    return Segment(call.scope, call.start, call.stop, call.module)


def _some(calls: Sequence[ModuleCall]) -> str:
    names = list(dict.fromkeys(c.scope for c in calls))
    if not names:
        return "none: the file names no modules (export with torch.onnx.export(..., dynamo=True))"
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _outermost(calls: Sequence[ModuleCall]) -> list[ModuleCall]:
    kept: list[ModuleCall] = []
    for call in sorted(calls, key=lambda c: (c.start, c.depth)):
        if not kept or call.start >= kept[-1].stop:
            kept.append(call)
    return kept


def _check_contiguous(calls: Sequence[ModuleCall], chosen: Sequence[ModuleCall]) -> None:
    """Several runs of one module are several calls of it when all are of one length; otherwise one call is torn."""
    for scope in dict.fromkeys(c.scope for c in chosen):
        lengths = {c.stop - c.start for c in calls if c.scope == scope}
        if len(lengths) > 1:
            raise OptionError(
                f"module '{scope}' cannot be checkpointed here: the file interleaves its calls with others'; "
                "name a module around it or its parts"
            )


def blocks(calls: Sequence[ModuleCall]) -> list[ModuleCall]:
    """The repeated blocks of a network (transformer layers, residual blocks), outermost, in order.

    A block has a number in its name, sub-modules of its own, and a sibling that is named alike. A Sequential of such
    blocks (a stage) is none.
    """
    inside: dict[str, set[str]] = {}
    running: list[ModuleCall] = []
    for call in calls:
        while running and call.start >= running[-1].stop:
            running.pop()
        if running:
            inside.setdefault(running[-1].scope, set()).add(call.scope)
        running.append(call)
    alike: dict[str, set[str]] = {}
    for call in calls:
        if call.scope in inside and _NUMBER.search(call.scope.rpartition(".")[2]):
            alike.setdefault(_NUMBER.sub("#", call.scope), set()).add(call.scope)
    named = {scope for group in alike.values() if len(group) > 1 for scope in group}
    stages = {scope for scope in named if _is_stage(scope, inside)}
    return _outermost([c for c in calls if c.scope in named - stages])


def _is_stage(scope: str, inside: dict[str, set[str]]) -> bool:
    children = inside[scope]
    return all(c.removeprefix(scope + ".").isdecimal() for c in children) and any(c in inside for c in children)


def module_calls(program: Program) -> list[ModuleCall]:
    """Every module call of the program, outer before inner, in order of their first operation."""
    paths = _paths(program.calls)
    found: list[ModuleCall] = []
    running: list[tuple[str, int]] = []

    def close(depth: int, stop: int) -> None:
        while len(running) > depth:
            scope, start = running.pop()
            found.extend(_split(program.calls, ModuleCall(scope, len(running), start, stop, "")))

    for position, path in enumerate(paths):
        common = 0
        while common < min(len(path), len(running)) and running[common][0] == path[common]:
            common += 1
        close(common, position)
        running += [(scope, position) for scope in path[common:]]
    close(0, len(paths))
    classes = {c.origin.scope: c.origin.module for c in reversed(program.calls) if c.origin.module}
    named = [ModuleCall(c.scope, c.depth, c.start, c.stop, classes.get(c.scope, "")) for c in found]
    return sorted(named, key=lambda c: (c.start, c.depth))


def _split(calls: Sequence[Call], run: ModuleCall) -> list[ModuleCall]:
    """A run that repeats itself, several sub-modules each time, is a module called again and again."""
    start = run.start
    while start < run.stop - 1 and _is_foreign_dropout(calls[start]):
        start += 1
    marks = [(c.target, c.origin.scope) for c in calls[start : run.stop]]
    length = len(marks)
    for period in range(2, length // 2 + 1):
        if length % period == 0 and marks[:period] * (length // period) == marks and len(set(marks[:period])) > 1:
            edges = range(start, run.stop, period)
            return [ModuleCall(run.scope, run.depth, edge, edge + period, "") for edge in edges]
    return [ModuleCall(run.scope, run.depth, start, run.stop, "")]


def _is_foreign_dropout(call: Call) -> bool:
    """Dropout that was put back bears the origin of its reader; at a module's start it belongs to the one before."""
    return call.target == "aten.dropout" and "dropout" not in f"{call.origin.call} {call.origin.scope}".lower()


def _paths(calls: Sequence[Call]) -> list[tuple[str, ...]]:
    """The modules around each call; what the file names no place for is where its neighbours both are."""
    paths = [c.origin.path or _prefixes(c.origin.scope) for c in calls]
    unknown = [not c.origin.path and not c.origin.scope and not c.origin.call and not c.origin.source for c in calls]
    for position, missing in enumerate(unknown):
        if missing:
            before = paths[position - 1] if position else ()
            after = next((p for p, gap in zip(paths[position:], unknown[position:], strict=True) if not gap), ())
            paths[position] = _common(before, after)
    return paths


def _prefixes(scope: str) -> tuple[str, ...]:
    parts = scope.split(".") if scope else []
    return tuple(".".join(parts[: i + 1]) for i in range(len(parts)))


def _common(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    shared = [a for a, b in zip(first, second, strict=False) if a == b]
    return tuple(shared) if list(first[: len(shared)]) == shared else ()
