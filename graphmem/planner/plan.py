"""Lifetimes, Options -> Plan: offsets for every buffer in one arena, verified, with a bound that no plan goes below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import gcd
from time import monotonic

import numpy as np

from graphmem.ir.errors import InputError, OptionError
from graphmem.ir.memory import IntColumn, Lifetimes, Placement, Plan
from graphmem.planner import cpsat
from graphmem.planner.greedy import bound
from graphmem.planner.kernel import Kernel
from graphmem.planner.orders import keys
from graphmem.planner.problem import Problem, components, compressed
from graphmem.planner.solve import quick, solve
from graphmem.planner.task import Task
from graphmem.planner.verify import verify

MAX_ALIGNMENT = 4096


@dataclass(frozen=True, slots=True)
class Options:
    """How to plan.

    alignment: bytes, 1..4096; offsets are multiples of it and sizes are rounded up to it.
    alignments: a coarser alignment for some buffers, by name.
    capacity: bytes that the arena should fit in; the planner aims at the bound and tries this next.
    fixed: offsets in bytes, by name, that the plan must keep.
    in_place: pairs (input, output) that may share one offset in the step where the output is written.
    timeout: seconds after which the best plan so far is taken; None leaves only the budgets, so plans repeat.
    compiled: True or False to insist on the compiled or the pure kernel; None takes what is there. Plans are the same.
    second_opinion: let OR-Tools' CP-SAT try where our own search has not proved its plan optimal (extra `ortools`).
    """

    alignment: int = 1
    alignments: Mapping[str, int] = field(default_factory=dict)
    capacity: int | None = None
    fixed: Mapping[str, int] = field(default_factory=dict)
    in_place: tuple[tuple[str, str], ...] = ()
    timeout: float | None = 60.0
    compiled: bool | None = None
    second_opinion: bool = False


DEFAULTS = Options()


def plan(lifetimes: Lifetimes, options: Options = DEFAULTS) -> Plan:
    """A verified plan; raises InputError or OptionError where the lifetimes or the options make no sense."""
    _check(lifetimes, options)
    kernel = Kernel(options.compiled)
    deadline = monotonic() + options.timeout if options.timeout is not None else float("inf")
    groups = _groups(lifetimes, options)
    whole, length, unit = _problem(lifetimes, groups, options)
    offsets, method, least = _solved(whole, length, options, unit, kernel, deadline)
    by_row = np.zeros(len(lifetimes), dtype=np.int64)
    for group, offset in zip(groups, offsets.tolist(), strict=True):
        by_row[group] = offset * unit
    rows = _rows(lifetimes)
    for name, fixed in options.fixed.items():
        by_row[rows[name]] = fixed
    placements = tuple(Placement(life, offset) for life, offset in zip(lifetimes, by_row.tolist(), strict=True))
    lifeless = int(lifetimes.nbytes[lifetimes.start == lifetimes.stop].max(initial=0))  # at 0, but part of the arena
    proved = -(-max(least * unit, lifeless) // options.alignment) * options.alignment
    result = Plan(method, placements, proved, options.alignment)
    verify(result, lifetimes, fixed=options.fixed, alignments=options.alignments, in_place=options.in_place)
    return result


def _solved(
    whole: Problem, length: IntColumn, options: Options, unit: int, kernel: Kernel, deadline: float
) -> tuple[IntColumn, str, int]:
    """(offsets in units, method of the component that reaches highest, proved bound in units)."""
    offsets = np.zeros(len(whole), dtype=np.int64)
    capacity = None if options.capacity is None else options.capacity // unit
    goal = least = bound(whole)
    parts = []
    for rows in components(whole.start, whole.stop):
        part = whole.rows(rows)
        task = Task(part, keys(part, length[rows]), goal, capacity, kernel, deadline)
        parts.append((rows, task, quick(task)))
    parts.sort(key=lambda each: -each[2].top)  # the highest first: the others need only stay below what it comes to
    highest, method = -1, "empty"
    for rows, task, first in parts:
        packing, proved = solve(replace(task, goal=goal), first)
        if options.second_opinion and packing.top > proved:
            packing, proved = cpsat.second_opinion(task.problem, packing, proved, deadline)
        offsets[rows] = packing.offsets
        if packing.top > highest:
            highest, method = packing.top, packing.method
        if proved > goal:  # a proof; else it is the goal, which the packings of higher components may have raised
            least = max(least, min(proved, packing.top))
        goal = max(goal, packing.top)
    return offsets, method, least


def _problem(lifetimes: Lifetimes, groups: list[list[int]], options: Options) -> tuple[Problem, IntColumn, int]:
    """(problem of the groups, lengths of life in steps, bytes of a unit)."""
    rows = _rows(lifetimes)
    first, last = (np.array([group[k] for group in groups], dtype=np.int64) for k in (0, -1))
    start, stop = lifetimes.start[first], lifetimes.stop[last]
    size = -(-lifetimes.nbytes[first] // options.alignment) * options.alignment
    step, fixed = np.full(len(lifetimes), options.alignment), np.full(len(lifetimes), -1)
    for name, alignment in options.alignments.items():
        step[rows[name]] = max(alignment, options.alignment)
    for name, offset in options.fixed.items():
        fixed[rows[name]] = offset
        step[rows[name]] = 1
    step = np.array([max(step[row] for row in group) for group in groups], dtype=np.int64)
    fixed = fixed[first].astype(np.int64)
    unit = int(np.gcd.reduce(np.concatenate((size, fixed[fixed >= 0])), initial=0)) or 1
    for each in sorted({int(s) for s in step if unit % int(s)}):
        unit = gcd(unit, each)
    section_start, section_stop, sections = compressed(start, stop)
    fixed = np.where(fixed >= 0, fixed // unit, -1)
    whole = Problem(section_start, section_stop, size // unit, np.maximum(step // unit, 1), fixed, sections)
    return whole, stop - start, unit


def _groups(lifetimes: Lifetimes, options: Options) -> list[list[int]]:
    """Rows that share one offset, in order of time: singletons, and chains of in-place pairs of equal aligned size.

    Placing a pair as one buffer from the input's start to the output's stop loses nothing on the bound: counted once in
    the step where both are alive, they are counted as in the best case. Buffers of no byte or no step are left out.
    """
    rows = _rows(lifetimes)
    blocks = -(-lifetimes.nbytes // options.alignment)
    active = (lifetimes.nbytes > 0) & (lifetimes.start < lifetimes.stop)
    follower: dict[int, int] = {}
    taken: set[int] = set()
    for source, target in options.in_place:
        a, b = rows[source], rows[target]
        meets = (
            lifetimes.stop[a] - 1 <= lifetimes.start[b] <= lifetimes.stop[a] and lifetimes.start[a] < lifetimes.start[b]
        )
        free = a not in follower and b not in taken and not {source, target} & options.fixed.keys()
        if active[a] and active[b] and blocks[a] == blocks[b] and meets and free:
            follower[a] = b
            taken.add(b)
    groups = []
    for row in np.flatnonzero(active).tolist():
        if row not in taken:
            group = [row]
            while group[-1] in follower:
                group.append(follower[group[-1]])
            groups.append(group)
    return groups


def _rows(lifetimes: Lifetimes) -> dict[str, int]:
    return {name: row for row, name in enumerate(lifetimes.buffers)}


def _check(lifetimes: Lifetimes, options: Options) -> None:
    rows = _rows(lifetimes)
    if len(rows) < len(lifetimes):
        double = next(name for row, name in enumerate(lifetimes.buffers) if rows[name] != row)
        raise InputError(f"buffer {double!r} has more than one lifetime; give every buffer a name of its own")
    for row in np.flatnonzero((lifetimes.nbytes < 0) | (lifetimes.start > lifetimes.stop))[:1].tolist():
        raise InputError(f"buffer {lifetimes.buffers[row]!r} has a negative size or stops before it starts")
    if int(lifetimes.nbytes.astype(object).sum()) >> 61:
        raise InputError("the sizes add up to more than 2 EiB, beyond what offsets can count; check their unit")
    for name, value in {"": options.alignment, **options.alignments}.items():
        if not 1 <= value <= MAX_ALIGNMENT:
            raise OptionError(f"alignment {value}{name and f' of {name!r}'} is not between 1 and {MAX_ALIGNMENT}")
    named = [*options.fixed, *options.alignments, *(name for pair in options.in_place for name in pair)]
    for name in named:
        if name not in rows:
            raise OptionError(f"an option names buffer {name!r}, which has no lifetime; check the spelling")
    _check_fixed(lifetimes, options, rows)


def _check_fixed(lifetimes: Lifetimes, options: Options, rows: Mapping[str, int]) -> None:
    """The fixed offsets must not contradict each other."""
    fixed = sorted((rows[name], offset, name) for name, offset in options.fixed.items())
    row = np.array([r for r, _, _ in fixed], dtype=np.int64)
    offset = np.array([o for _, o, _ in fixed], dtype=np.int64)
    start, stop, end = lifetimes.start[row], lifetimes.stop[row], offset + lifetimes.nbytes[row]
    for k, (_, at, name) in enumerate(fixed):
        if at < 0:
            raise OptionError(f"the fixed offset {at} of {name!r} is negative")
        clash = (start < stop[k]) & (stop > start[k]) & (offset < end[k]) & (end > at)
        clash[k] = False
        if clash.any():
            other = fixed[int(clash.argmax())][2]
            raise OptionError(
                f"the fixed offsets of {name!r} and {other!r} overlap while both are alive; move one of them"
            )
