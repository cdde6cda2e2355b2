"""Profile -> Picture: boxes and arrows at the level asked for, of the whole run or of the steps around its peak.

A box is a group of steps (one step, a chain, a block, a stretch of one module), an arrow is a buffer on its way from
the box that writes it to a box that reads it. Groups keep the order of execution, so arrows never run in circles.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from graphmem.ir.errors import OptionError
from graphmem.ir.profile import Profile
from graphmem.ir.types import Type, UnknownType
from graphmem.report.drawing.levels import LEVELS, is_phased
from graphmem.report.units import shape, size

MOST_AROUND = 14  # boxes around the peak: what one glance takes in
MOST_BOXES = 1500  # more is a hairball that no layout mends
ELSEWHERE = -1
LEAST_SHARE = 0.01  # of the greatest buffer at the peak's step: lesser ones are shapes, everywhere, and explain nothing
STANDING = ("parameter", "buffer", "constant", "optimizer_state")  # of training: always alive, read everywhere
KEPT, AGAIN = "◆", "↻"  # of checkpointing: before a box that makes what is kept, or computes something again
MARKS = f"{KEPT} makes what is kept, {AGAIN} computes again"
MOST_READERS = 3  # boxes that one buffer points to; the rest are counted in its label


@dataclass(frozen=True, slots=True)
class Box:
    """One group of steps. `share` is the most bytes alive in it as a fraction of the peak; `step` its first step."""

    label: tuple[str, ...]
    step: int
    share: float
    is_peak: bool


@dataclass(frozen=True, slots=True)
class Arrow:
    """A buffer (its `row`) from one box to another; ELSEWHERE stands for boxes that are not in the picture."""

    source: int
    target: int
    row: int
    label: tuple[str, ...]
    share: float
    at_peak: bool
    is_loose: bool = False  # inside the forward pass of a training step: there the backward pass sets the ranks


@dataclass(frozen=True, slots=True)
class Picture:
    """What to lay out."""

    title: str
    is_whole: bool  # the whole run, not the steps around its peak
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def peak_title(profile: Profile, sign: str = "") -> str:
    """Where and how high the peak of the profile is; `sign` says how exact that is."""
    live, steps = profile.timeline, profile.schedule.steps
    if not steps:
        return "no step to run"
    return f"peak {sign}{size(live.peak)} at step {live.peak_step} of {len(steps)}, {steps[live.peak_step].operator}"


def picture(
    profile: Profile, title: str, level: str = "op", around_peak: bool = True, is_laid_out: bool = True
) -> Picture:
    """The boxes and arrows; OptionError when they are too many and `is_laid_out`."""
    groups = LEVELS[level](profile)
    count = max(groups, default=-1) + 1
    kept = _around_peak(profile, groups) if around_peak else list(range(count))
    if is_laid_out and len(kept) > MOST_BOXES:
        fitting = [name for name in LEVELS if max(LEVELS[name](profile), default=-1) < MOST_BOXES]
        advice = f"use --level {fitting[0]} or --around peak" if fitting else "use --around peak"
        raise OptionError(f"{len(kept)} boxes at level {level} are too many to read; {advice}")
    place = {group: position for position, group in enumerate(kept)}
    return Picture(title, not around_peak, _boxes(profile, groups, kept, level), _arrows(profile, groups, place))


def _boxes(profile: Profile, groups: list[int], kept: list[int], level: str) -> tuple[Box, ...]:
    steps = defaultdict(list)
    for step, group in enumerate(groups):
        steps[group].append(step)
    peak = max(profile.timeline.peak, 1)
    made, phased = [], is_phased(profile) and level != "op"
    marks = _marks(profile)
    for group in kept:
        inside = steps[group]
        live = max(int(profile.timeline.live[step]) for step in inside)
        name = _name(profile, inside, level)
        if phased:
            name = f"{profile.schedule.steps[inside[0]].phase} {name}"
        of_box = "".join(sorted({marks[step] for step in inside if step in marks}))
        name = f"{of_box} {name}" if of_box else name
        is_peak = profile.timeline.peak_step in inside
        made.append(Box((name, f"live {size(live)}"), inside[0], live / peak, is_peak))
    return tuple(made)


def has_checkpoints(profile: Profile) -> bool:
    """True when something is computed again, so that the picture marks it."""
    return any(tensor.kind == "recomputed activation" for tensor in profile.tensors)


def _marks(profile: Profile) -> dict[int, str]:
    """Steps that make what checkpointing keeps, and steps that compute something again."""
    if not has_checkpoints(profile):
        return {}
    signs = {"saved activation": KEPT, "recomputed activation": AGAIN}
    return {tensor.first_step: signs[tensor.kind] for tensor in profile.tensors if tensor.kind in signs}


def _name(profile: Profile, inside: list[int], level: str) -> str:
    operators = [profile.schedule.steps[step].operator for step in inside]
    first, last = inside[0], inside[-1]
    if len(inside) == 1:
        return f"{first}: {operators[0]}"
    if level == "scope" and profile.origins[first].scope:
        common = _common_scope([scope for step in inside if (scope := profile.origins[step].scope)])
        return f"{first}–{last}: {common or 'model'}"
    if len(operators) <= 3:
        return f"{first}–{last}: " + " · ".join(operators)
    return f"{first}–{last}: {operators[0]} … {operators[-1]}"


def _common_scope(paths: list[str]) -> str:
    parts = [path.split(".") for path in paths]
    common: list[str] = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        common.append(level[0])
    return ".".join(common)


def _arrows(profile: Profile, groups: list[int], place: dict[int, int]) -> tuple[Arrow, ...]:
    """One arrow per pair of boxes and per buffer from elsewhere; of long-lived buffers only to the first readers."""
    readers: dict[int, list[int]] = defaultdict(list)
    for step, group in zip(profile.schedule.steps, groups, strict=True):
        for row in step.reads:
            if group not in readers[row]:
                readers[row].append(group)
    found: list[Arrow] = []
    is_training = is_phased(profile)
    for row, tensor in enumerate(profile.tensors):
        home = groups[tensor.first_step] if tensor.producer and groups else None
        away = [group for group in readers[row] if group != home]
        if is_training and tensor.kind in STANDING:
            continue
        if tensor.nbytes and away and (home in place or any(group in place for group in away)):
            found += _ends(profile, row, ELSEWHERE if home is None else place.get(home, ELSEWHERE), away, place)
    if is_training:
        phases = zip(groups, (step.phase for step in profile.schedule.steps), strict=True)
        forward = {place[group] for group, phase in phases if group in place and phase == "forward"}
        found = [replace(arrow, is_loose={arrow.source, arrow.target} <= forward) for arrow in found]
    return _merged(_worthy(found, _least(profile) / max(profile.timeline.peak, 1)))


def _ends(profile: Profile, row: int, source: int, readers: list[int], place: dict[int, int]) -> list[Arrow]:
    """The arrows of one buffer."""
    tensor, step = profile.tensors[row], profile.timeline.peak_step
    is_at_peak = bool(profile.lifetimes.start[row] <= step < profile.lifetimes.stop[row])
    inside = [place[group] for group in readers if group in place]
    if not inside and source != ELSEWHERE:
        inside = [ELSEWHERE]
    more = len(inside) - MOST_READERS
    label = (*_shape(tensor.type), size(tensor.nbytes) + (f", {more} more readers" if more > 0 else ""))
    share = tensor.nbytes / max(profile.timeline.peak, 1)
    return [Arrow(source, end, row, label, share, is_at_peak) for end in inside[:MOST_READERS]]


def _shape(type_: Type) -> tuple[str, ...]:
    return () if isinstance(type_, UnknownType) else (shape(type_),)


def _least(profile: Profile) -> float:
    """Bytes from which on a buffer counts."""
    if not profile.schedule.steps:
        return 0.0
    step = profile.schedule.steps[profile.timeline.peak_step]
    return LEAST_SHARE * max((profile.tensors[row].nbytes for row in (*step.reads, *step.writes)), default=0)


def _worthy(arrows: list[Arrow], least: float) -> list[Arrow]:
    """Without the small ones, but for those that are all that a box of the picture gets from another."""
    fed = {arrow.target for arrow in arrows if arrow.source != ELSEWHERE and arrow.share >= least}
    return [
        arrow
        for arrow in arrows
        if arrow.share >= least or (ELSEWHERE not in (arrow.source, arrow.target) and arrow.target not in fed)
    ]


def _merged(arrows: list[Arrow]) -> tuple[Arrow, ...]:
    """Arrows between the same two boxes as one, labelled by the greatest; those from or to elsewhere as they are."""
    pairs: dict[tuple[int, int, int], list[Arrow]] = defaultdict(list)
    for arrow in arrows:
        is_inside = ELSEWHERE not in (arrow.source, arrow.target)
        pairs[arrow.source, arrow.target, -1 if is_inside else arrow.row].append(arrow)
    made = []
    for together in pairs.values():
        greatest = max(together, key=lambda arrow: (arrow.at_peak, arrow.share, -arrow.row))
        if len(together) > 1:
            greatest = replace(greatest, label=(*greatest.label, f"and {len(together) - 1} more"))
        made.append(greatest)
    return tuple(made)


def _around_peak(profile: Profile, groups: list[int]) -> list[int]:
    """The groups from two steps before the oldest tensor alive at the peak to two after the last death of one.

    When these are too many, those nearest to the peak and those that write and last read its greatest tensors. Steps
    that move only lesser buffers are left out.
    """
    if not groups:
        return []
    peak, least = profile.timeline.peak_step, _least(profile)
    alive = [t for t in (profile.tensors[row] for row in profile.rows_at_peak) if t.producer and t.nbytes >= least]
    first = max(0, min((t.first_step for t in alive), default=peak) - 2)
    last = min(len(groups) - 1, max((t.last_step for t in alive), default=peak) + 2)
    sizes = profile.lifetimes.nbytes
    heavy = [
        step
        for step, made in enumerate(profile.schedule.steps)
        if step == peak or any(sizes[row] >= least for row in (*made.reads, *made.writes))
    ]
    window = {groups[step] for step in heavy if first <= step <= last}
    if len(window) <= MOST_AROUND:
        return sorted(window)
    wanted = {groups[peak]: None}
    for tensor in alive[:2]:
        wanted |= {groups[tensor.first_step]: None, groups[tensor.last_step]: None}
    wanted |= {groups[step]: None for step in sorted(heavy, key=lambda step: (abs(step - peak), step))[:MOST_AROUND]}
    return sorted(list(wanted)[:MOST_AROUND])
