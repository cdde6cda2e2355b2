"""Program -> K contiguous stages on K ranks, cut where the rank that needs most needs least, under 1F1B.

Cuts may be between any two calls of programs of up to ALL calls, else at so many places: where blocks begin, and where
the fewest bytes cross. Each stage is simulated (`pipeline_rank.py`), the choice is proved here.

The choice is a bottleneck path over K layers of cuts: best[i][b] = min over a of max(best[i-1][a], cost[i][a, b]). It
is solved with bounds where no cost is known yet; then the stages on the path are costed, and again, until a path holds
only costs. That path is an optimum: every other has a stage whose bound is as large. Stopped early, the best path seen
is returned with the bound that no partition can go below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from graphmem.autograd.tensor import is_floating
from graphmem.ir.errors import OptionError
from graphmem.ir.graph import exactness_of
from graphmem.ir.memory import IntColumn
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Program
from graphmem.ir.ranks import Collective, Parallel, Ranked
from graphmem.schedule.parallel.pipeline_bounds import Survey, bounds, surveyed
from graphmem.schedule.parallel.pipeline_rank import stage_rank, unknown_in
from graphmem.schedule.parallel.process import collective
from graphmem.schedule.parallel.sharding import units
from graphmem.schedule.parallel.stage import Stage, cut

Cost = Callable[[int, int, int], int]  # stage, first cut, last cut (numbers of cuts) -> bytes


@dataclass(frozen=True, slots=True)
class Partition:
    """Numbers of the cuts between stages, ends included; `bound` is at most any partition's peak."""

    cuts: tuple[int, ...]
    peak: int
    bound: int
    costed: int

    @property
    def is_optimal(self) -> bool:
        """True when the bound is reached."""
        return self.peak == self.bound


def partition(tables: Sequence[IntColumn], cost: Cost, most: int = 1 << 30) -> Partition:
    """The best cuts of all for `tables`, of bounds for each stage; at most about `most` stages are costed.

    `tables[i][a, b]` is the bound of stage i between cuts a and b; it is replaced by costs as they become known.
    """
    known: dict[tuple[int, int, int], int] = {}
    tables = [table.copy() for table in tables]
    best: tuple[int, tuple[int, ...]] | None = None
    while True:
        bound, path = _bottleneck(tables)
        stages = [(i, a, b) for i, (a, b) in enumerate(pairwise(path))]
        for stage in stages:
            if stage not in known:
                known[stage] = tables[stage[0]][stage[1:]] = cost(*stage)
        peak = max(known[stage] for stage in stages)
        if best is None or peak < best[0]:
            best = peak, path
        if best[0] <= bound or len(known) >= most:
            return Partition(best[1], best[0], min(bound, best[0]), len(known))


def _bottleneck(tables: Sequence[IntColumn]) -> tuple[int, tuple[int, ...]]:
    """The least largest table entry on a path from the first cut to the last; of equals, the least sum of entries."""
    before = tables[0][0]
    came: list[IntColumn] = []
    for table in tables[1:]:
        through = np.maximum(before[:, None], table)
        came.append(through.argmin(axis=0))
        before = through.min(axis=0)
    at = len(before) - 1
    path = [at]
    for column in reversed(came):
        at = int(column[at])
        path.append(at)
    return int(before[-1]), (0, *reversed(path))


ALL = 120  # calls
WORK = 150_000  # calls that may be simulated for stages before the search settles for a bound


def pipelined(
    program: Program, settings: TrainingOptions, parallel: Parallel,
    at: Sequence[int] | None = None,
) -> Ranked:  # fmt: skip
    """Peaks of all ranks; the program is of one micro-batch, `at` are positions of calls to cut before.

    Raises OptionError when there are fewer calls than stages or fewer micro-batches, or the model cannot be cut.
    """
    count, micro = parallel.ranks, parallel.micro_batches
    if micro < count:
        raise OptionError(
            f"Schedule1F1B needs as many micro-batches as stages: give pipeline:{count}:M with M of {count} or more"
        )
    survey = surveyed(program, settings)
    outputs = tuple(n for n in program.outputs if n in survey.known and is_floating(survey.known[n].type.dtype))
    dropped = len(program.outputs) - 1
    program = replace(program, outputs=outputs[:1])
    cuts = np.array([0, *at, len(program.calls)]) if at is not None else _cuts(program, survey, count)
    tables = [bounds(survey, cuts, i, count, micro) for i in range(count)]

    most = max(2 * count, WORK // (3 * len(program.calls)))

    def stage(i: int, a: int, b: int) -> Stage:
        return cut(program, int(cuts[a]), int(cuts[b]), i, count, survey.known, micro)

    found = partition(tables, lambda i, a, b: stage_rank(stage(i, a, b), settings).peak, most)
    stages = [stage(i, a, b) for i, (a, b) in enumerate(pairwise(found.cuts))]
    ranks = tuple(stage_rank(s, settings) for s in stages)
    issues = tuple(dict.fromkeys([*survey.issues, *(i for s in stages for i in unknown_in(s, settings))]))
    figure = "peak" if exactness_of(issues) == "exact" else "of these figures"
    notes = _notes(found, figure, len(cuts), len(program.calls), dropped, stages)
    return Ranked(parallel, settings, ranks, tuple(_sent(stages, micro)), notes, issues)


def _cuts(program: Program, survey: Survey, count: int) -> IntColumn:
    """Positions that stages may begin at, the two ends included."""
    calls = len(program.calls)
    if calls < count:
        raise OptionError(f"a program of {calls} calls cannot be cut into {count} stages: give fewer")
    if calls <= ALL:
        return np.arange(calls + 1, dtype=np.int64)
    starts = {start for unit in units(program) for run in unit.runs for start in run}
    narrow = sorted(range(1, calls), key=lambda p: (p not in starts, int(survey.arriving[p]), p))
    return np.array([0, *sorted(narrow[:ALL]), calls], dtype=np.int64)


def _sent(stages: Sequence[Stage], micro: int) -> list[Collective]:
    there = [sent.nbytes for stage in stages[:-1] for sent in stage.outputs]
    back = [sent.nbytes for stage in stages[:-1] for sent in stage.outputs if sent.needs_grad]
    rows = collective("point-to-point", "activations, to the next stage", there * micro, 2)
    rows += collective("point-to-point", "gradients, to the stage before", back * micro, 2)
    return rows + collective("all-reduce", "gradients of parameters that two stages hold", _tied(stages).values(), 2)


def _tied(stages: Sequence[Stage]) -> dict[str, int]:
    """Parameters that a later stage holds too -> their bytes."""
    seen: set[str] = set()
    found: dict[str, int] = {}
    for stage in stages:
        for given in stage.program.of("parameter"):
            if given.name in seen:
                found[given.name] = given.type.nbytes
            seen.add(given.name)
    return found


def _notes(
    found: Partition, figure: str, cuts: int, calls: int, dropped: int, stages: Sequence[Stage]
) -> tuple[str, ...]:
    where = f"{cuts - 2} places to cut, between any two calls" if cuts == calls + 1 else f"{cuts - 2} places to cut"
    if found.is_optimal:
        notes = [f"no other cut lowers the largest {figure} (proved over {where}; {found.costed} stages simulated)"]
    else:
        over = 100 * (found.peak - found.bound) / found.bound
        notes = [f"no cut lowers the largest {figure} by more than {over:.2f} % (over {where})"]
    notes.append(
        f"Schedule1F1B with {stages[0].micro_batches} micro-batches; in flight by stage: "
        + ", ".join(str(stage.in_flight) for stage in stages)
    )
    if dropped:
        notes.append(f"{dropped} outputs that the loss does not read are left out")
    notes += [f"parameter '{name}' is on two ranks" for name in _tied(stages)]
    return tuple(notes)
