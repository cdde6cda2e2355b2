"""Profile -> the group of every step, numbered in the order in which groups first appear: one function per level."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from graphmem.ir.profile import Profile

MOST_STRETCHES = 60  # boxes that a picture of modules aims at


def by_op(profile: Profile) -> list[int]:
    """Every step for itself."""
    return list(range(len(profile.schedule.steps)))


def by_chain(profile: Profile) -> list[int]:
    """A step joins the one before it when each is the other's only partner: Conv, BatchNormalization, Relu.

    A forward and a backward step are in no chain together.
    """
    before, after = _partners(profile)
    steps = profile.schedule.steps
    groups: list[int] = []
    count = 0
    for step in range(len(profile.schedule.steps)):
        only = next(iter(before[step])) if len(before[step]) == 1 else None
        if only is not None and after[only] == {step} and steps[only].phase == steps[step].phase:
            groups.append(groups[only])
        else:
            groups.append(count)
            count += 1
    return groups


def by_block(profile: Profile) -> list[int]:
    """The blocks between the cuts where a single tensor is alive."""
    return [number for number, block in enumerate(profile.blocks) for _ in range(block.start, block.stop)]


def by_scope(profile: Profile) -> list[int]:
    """Stretches of one module, as deep in the tree as keeps the picture readable; blocks where no module is named."""
    paths = [origin.scope.split(".") if origin.scope else [] for origin in profile.origins]
    if not any(paths):
        return by_block(profile)
    if is_phased(profile):
        paths = _phased([step.phase for step in profile.schedule.steps], paths)
    depth, groups = 1, _stretches(paths, 1)
    while depth < max(map(len, paths)):
        deeper = _stretches(paths, depth + 1)
        if max(deeper) >= MOST_STRETCHES:
            break
        depth, groups = depth + 1, deeper
    return groups


def is_phased(profile: Profile) -> bool:
    """True of a run with phases, such as a training step."""
    return len({step.phase for step in profile.schedule.steps}) > 1


def _phased(phases: list[str], paths: list[list[str]]) -> list[list[str]]:
    """Paths below their phase; a step of no module, such as a sum of gradients, belongs to where the run is."""
    found: list[list[str]] = []
    for phase, path in zip(phases, paths, strict=True):
        goes_on = not path and found and found[-1][0] == phase
        found.append(found[-1] if goes_on else [phase, *path])
    return found


LEVELS: dict[str, Callable[[Profile], list[int]]] = {
    "op": by_op,
    "chain": by_chain,
    "block": by_block,
    "scope": by_scope,
}


def _stretches(paths: list[list[str]], depth: int) -> list[int]:
    groups: list[int] = []
    for position, path in enumerate(paths):
        is_new = position == 0 or path[:depth] != paths[position - 1][:depth]
        groups.append((groups[-1] if groups else -1) + is_new)
    return groups


def _partners(profile: Profile) -> tuple[dict[int, set[int]], dict[int, set[int]]]:
    """For each step the steps that write what it reads, and those that read what it writes."""
    writer = {row: step for step, made in enumerate(profile.schedule.steps) for row in made.writes}
    before: dict[int, set[int]] = defaultdict(set)
    after: dict[int, set[int]] = defaultdict(set)
    for step, made in enumerate(profile.schedule.steps):
        for row in made.reads:
            if writer.get(row, step) != step:
                before[step].add(writer[row])
                after[writer[row]].add(step)
    return before, after
