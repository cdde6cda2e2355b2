"""Program -> the call after which nobody holds a value: its last use, or the end of the Python names bound to it.

A module's arguments are held by the frames of its call until it returns. What a statement binds to a name lives until
the name is bound again or the function returns, used or not; which statement that is, the exporter's tracebacks tell.
Where there are none, pieces of a split are taken to have names of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from graphmem.autograd.frames import invocations
from graphmem.autograd.names import bound
from graphmem.ir.graph import Issue
from graphmem.ir.program import Program

TAKEN = Issue("assumption", "the run", "the file tells no Python names; values are taken to die at their last use")
Spans = list[list[tuple[int, int]]]
Holds: TypeAlias = Callable[[Program], dict[int, list[str]]]


def tells_names(program: Program) -> bool:
    """True when the file has the exporter's tracebacks."""
    return any(call.origin.frames for call in program.calls)


def last_holds(program: Program) -> dict[int, list[str]]:
    """Position of a call -> the values that nobody holds after it; outputs of the program are in none."""
    ends = _module_ends(program)
    made: dict[str, int] = {}
    last: dict[str, int] = {}
    for position, call in enumerate(program.calls):
        for name in call.outputs:
            made[name] = last[name] = position
        for name in call.reads:
            end = position
            for start, stop in ends[position]:
                if made.get(name, -1) < start:
                    end = max(end, stop)
            last[name] = max(last.get(name, 0), end)
    runs = invocations(program.calls)
    for name, position in (bound(program, runs, last) if runs else _named_pieces(program, ends)).items():
        last[name] = max(last[name], position)
    dies: dict[int, list[str]] = {}
    for name, position in last.items():
        if name not in program.outputs:
            dies.setdefault(position, []).append(name)
    return dies


def longest_holds(program: Program) -> dict[int, list[str]]:
    """The same when every value lives until the innermost module call around all its uses returns: the most."""
    ends = _module_ends(program)
    around: dict[str, list[tuple[int, int]]] = {}
    for position, call in enumerate(program.calls):
        for name in call.outputs:
            around[name] = ends[position]
        for name in call.reads:
            around[name] = _common(around.get(name, ends[position]), ends[position])
    dies: dict[int, list[str]] = {}
    for name, spans in around.items():
        if name not in program.outputs:
            dies.setdefault(spans[-1][1] if spans else len(program.calls) - 1, []).append(name)
    return dies


def _common(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The module calls that both are part of."""
    count = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:count]


def _module_ends(program: Program) -> Spans:
    """For each call, the first and last call of every module call that it is part of."""
    spans: list[list[list[int]]] = []
    running: list[tuple[str, list[int]]] = []
    for position, call in enumerate(program.calls):
        path = call.origin.path
        common = 0
        while common < min(len(path), len(running)) and running[common][0] == path[common]:
            common += 1
        del running[common:]
        running += [(name, [position, position]) for name in path[common:]]
        for _, span in running:
            span[1] = position
        spans.append([span for _, span in running])
    return [[(span[0], span[1]) for span in row] for row in spans]


def _named_pieces(program: Program, ends: Spans) -> dict[str, int]:
    """Output of a call with several outputs -> the call before which its name is bound again or its module returns."""
    found: dict[str, int] = {}
    latest: dict[tuple[tuple[str, ...], str], tuple[int, tuple[str, ...]]] = {}
    for position, call in enumerate(program.calls):
        if len(call.outputs) < 2:
            continue
        key = (call.origin.path, call.target)
        if key in latest:
            before, names = latest[key]
            found.update((name, min(found[name], position)) for name in names if before < position)
        stop = ends[position][-1][1] if ends[position] else len(program.calls) - 1
        found.update((name, stop) for name in call.outputs)
        latest[key] = (position, call.outputs)
    return found
