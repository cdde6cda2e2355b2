"""Analysis (-> Plan), or any Schedule -> Profile: what the pictures of a run show, worked out once for all of them.

Bands are the bytes alive in each step, split by what they are there for:

inputs      graph inputs                        read        read by the step
held        waiting for a later step            made        written by the step
workspace   scratch of the step

Blocks are the run cut wherever a single tensor connects what was with what comes:

    step      6   7   8   9  10
    a        [===============)
    b            [=======)                    cuts after 6 and after 9: there only a, only d crosses
    c                [=======)
    d                    [=======)

Set aside, and so free to cross any cut, are buffers alive in more than half of all steps (an attention mask, a shared
table) and those below a hundredth of the peak (shapes and other scalars).
A block of one step joins the block before it, unless the whole run is such a chain.

Scopes are the module tree of the source program, with the bytes that each module accounts for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from graphmem.ir.analysis import Analysis, LiveTensor
from graphmem.ir.graph import Node, Origin
from graphmem.ir.memory import IntColumn, Lifetime, Lifetimes, Plan, Timeline
from graphmem.ir.profile import Band, Block, Profile, Scope
from graphmem.ir.schedule import Schedule
from graphmem.ir.types import BoundedType, TensorType, Type, UnknownType
from graphmem.memory.liveness import live_tensors


def bands_by_use(schedule: Schedule, alive: Lifetimes, live: Timeline) -> tuple[Band, ...]:
    """Inputs, held, read, made and workspace bytes of each step; a band that is always empty is left out."""
    is_input = np.array([buffer.kind == "input" for buffer in schedule.buffers], dtype=bool)
    inputs = _alive(alive, is_input, live.live.size)
    made = _touched(schedule, alive, is_input, is_write=True)
    read = _touched(schedule, alive, is_input, is_write=False)
    workspace = np.array([step.workspace for step in schedule.steps], dtype=np.int64)
    held = live.live - inputs - made - read - workspace
    bands = {"inputs": inputs, "held": held, "read": read, "made": made, "workspace": workspace}
    return tuple(Band(kind, column) for kind, column in bands.items() if column.any())


def bands_by_kind(
    schedule: Schedule, alive: Lifetimes, order: Sequence[str], kinds_of_rows: Sequence[str] | None = None
) -> tuple[Band, ...]:
    """Bytes of every kind of buffer in each step, in the order given (others after), workspace last.

    The kinds are those of the buffers, or, finer, `kinds_of_rows`.
    """
    steps = len(schedule.steps)
    kinds = np.array([b.kind for b in schedule.buffers] if kinds_of_rows is None else list(kinds_of_rows), dtype=str)
    names = [*order, *sorted(set(kinds.tolist()) - set(order))]
    bands = {name: _alive(alive, kinds == name, steps) for name in names}
    bands["workspace"] = np.array([step.workspace for step in schedule.steps], dtype=np.int64)
    return tuple(Band(kind, column) for kind, column in bands.items() if column.any())


def _alive(alive: Lifetimes, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]], steps: int) -> IntColumn:
    change = np.zeros(steps + 1, dtype=np.int64)
    np.add.at(change, alive.start[chosen], alive.nbytes[chosen])
    np.subtract.at(change, alive.stop[chosen], alive.nbytes[chosen])
    return np.cumsum(change)[:steps]


def _touched(
    schedule: Schedule, alive: Lifetimes, is_input: np.ndarray[tuple[int], np.dtype[np.bool_]], is_write: bool
) -> IntColumn:
    """Bytes of the buffers, inputs aside, that each step writes, or reads without writing."""
    total = []
    for step in schedule.steps:
        rows = set(step.writes) if is_write else set(step.reads) - set(step.writes)
        total.append(sum(int(alive.nbytes[row]) for row in rows if not is_input[row]))
    return np.array(total, dtype=np.int64)


LEAST = 100  # a buffer counts from this part of the peak on


def blocks(alive: Lifetimes, live: Timeline) -> tuple[Block, ...]:
    """The blocks in order; together they are all steps."""
    steps = live.live.size
    if not steps:
        return ()
    edges = [0, *_joined(_cuts(alive, live), steps), steps]
    return tuple(Block(start, stop, int(live.live[start:stop].max())) for start, stop in pairwise(edges))


def _cuts(alive: Lifetimes, live: Timeline) -> list[int]:
    """Steps that start a block: at most one buffer that counts is alive both there and in the step before."""
    steps = live.live.size
    is_short = 2 * (alive.stop - alive.start) <= max(steps, 4)
    counts = is_short & (alive.nbytes * LEAST > live.peak) & (alive.stop > alive.start)
    change = np.zeros(steps + 1, dtype=np.int64)
    np.add.at(change, alive.start[counts], 1)
    np.subtract.at(change, alive.stop[counts] - 1, 1)
    crossing = np.cumsum(change)[: steps - 1]
    return [int(step) + 1 for step in np.flatnonzero(crossing <= 1)]


def _joined(cuts: list[int], steps: int) -> list[int]:
    """The cuts without those that start a block of one step."""
    ends = [*cuts, steps][1:]
    return [cut for cut, end in zip(cuts, ends, strict=True) if end - cut > 1] or cuts


class Tree:
    """Scopes as they are met, each with the sums of its own steps only."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {"": 0}
        self.parents = [-1]
        self.modules = [""]
        self.sums = [[0, 0, 0, 0, 0]]  # steps, weights, made, at peak, saved

    def row(self, path: str, module: str = "") -> int:
        """The row of a dotted path, its ancestors before it."""
        if path not in self.rows:
            parent = self.row(path.rpartition(".")[0])
            self.rows[path] = len(self.rows)
            self.parents.append(parent)
            self.modules.append("")
            self.sums.append([0, 0, 0, 0, 0])
        found = self.rows[path]
        self.modules[found] = self.modules[found] or module
        return found

    def scopes(self) -> tuple[Scope, ...]:
        """Every scope with the sums of all that lies inside; a parent always comes before its children."""
        sums = [list(own) for own in self.sums]
        for row in range(len(sums) - 1, 0, -1):
            sums[self.parents[row]] = [a + b for a, b in zip(sums[self.parents[row]], sums[row], strict=True)]
        return tuple(Scope(path, self.parents[row], self.modules[row], *sums[row]) for path, row in self.rows.items())


def scopes(
    nodes: Sequence[Node],
    schedule: Schedule,
    alive: Lifetimes,
    peak_step: int,
    weights: Mapping[str, int],
    cuts: Sequence[Block],
) -> tuple[tuple[Scope, ...], tuple[int, ...]]:
    """The scope tree and the scope of every step; without module names in the file the blocks take their place.

    `weights` are the bytes of each weight, by tensor name; a weight belongs to the first step that reads it.
    """
    paths = [(node.origin.scope, node.origin.module) for node in nodes]
    if not any(path for path, _ in paths):
        paths = [(f"steps {b.start}–{b.stop - 1}", "") for b in cuts for _ in range(b.start, b.stop)]
    tree, seen = Tree(), set[str]()
    rows = tuple(tree.row(path, module) for path, module in paths)
    for row, node, step in zip(rows, nodes, schedule.steps, strict=True):
        own = tree.sums[row]
        new = [name for name in node.reads if name in weights and name not in seen]
        seen.update(new)
        own[0] += 1
        own[1] += sum(weights[name] for name in new)
        own[2] += sum(schedule.buffers[b].nbytes for b in step.writes)
        own[3] += sum(schedule.buffers[b].nbytes for b in step.writes if alive.start[b] <= peak_step < alive.stop[b])
    return tree.scopes(), rows


def inference_profile(analysis: Analysis, plan: Plan | None = None) -> Profile:
    """The forward run of the analysis, with the plan of its buffers when there is one."""
    graph, run = analysis.graph, analysis.inference
    schedule, alive, live = run.schedule, run.lifetimes, run.timeline
    unpacked = graph.unpacked
    weights = {n: _nbytes(t.type) for n, t in graph.tensors.items() if t.role == "weight" and n not in unpacked}
    cuts = blocks(alive, live)
    tree, step_scopes = scopes(run.nodes, schedule, alive, live.peak_step, weights, cuts)
    return Profile(
        name="inference",
        schedule=schedule,
        lifetimes=alive,
        timeline=live,
        tensors=live_tensors(graph, run.nodes, schedule, alive, range(len(alive))),
        origins=tuple(node.origin for node in run.nodes),
        bands=bands_by_use(schedule, alive, live),
        blocks=cuts,
        scopes=tree,
        step_scopes=step_scopes,
        standing=analysis.model.weight_bytes,
        plan=plan,
    )


# From the floor of the picture up: what stays throughout, then what comes and goes, by torch.profiler's words.
KINDS = (
    "parameter", "optimizer_state", "buffer", "constant", "input", "gradient", "saved activation",
    "recomputed activation", "activation", "temporary", "output",
)  # fmt: skip
GIVEN = frozenset({"parameter", "optimizer_state", "buffer", "constant", "input"})


def schedule_profile(name: str, schedule: Schedule, alive: Lifetimes, live: Timeline) -> Profile:
    """A run of which only the schedule is known, such as a training step: bands by kind, a block and scope a phase."""
    phases = [step.phase for step in schedule.steps]
    edges = [0, *(s for s in range(1, len(phases)) if phases[s] != phases[s - 1]), len(phases)] if phases else []
    cuts = tuple(Block(start, stop, int(live.live[start:stop].max())) for start, stop in pairwise(edges))
    tree = [Scope("", -1, "", len(phases), 0, *_bytes(schedule, alive, live, range(len(phases))))]
    for block in cuts:
        inside = range(block.start, block.stop)
        tree.append(Scope(phases[block.start], 0, "", len(inside), 0, *_bytes(schedule, alive, live, inside)))
    return Profile(
        name=name,
        schedule=schedule,
        lifetimes=alive,
        timeline=live,
        tensors=tuple(_bare(schedule, alive[row], row) for row in range(len(alive))),
        origins=tuple(Origin() for _ in phases),
        bands=bands_by_kind(schedule, alive, KINDS),
        blocks=cuts,
        scopes=tuple(tree),
        step_scopes=tuple(number for number, block in enumerate(cuts, 1) for _ in range(block.start, block.stop)),
    )


def _bytes(schedule: Schedule, alive: Lifetimes, live: Timeline, steps: range) -> tuple[int, int]:
    """Bytes that these steps make, and those of them alive at the peak."""
    rows = [row for step in steps for row in schedule.steps[step].writes]
    made = sum(schedule.buffers[row].nbytes for row in rows)
    at_peak = [row for row in rows if alive.start[row] <= live.peak_step < alive.stop[row]]
    return made, sum(schedule.buffers[row].nbytes for row in at_peak)


def _bare(schedule: Schedule, lifetime: Lifetime, row: int) -> LiveTensor:
    """A buffer of which nothing but the schedule is known."""
    buffer = schedule.buffers[row]
    is_made = buffer.kind not in GIVEN and lifetime.stop > lifetime.start
    return LiveTensor(
        tensor=buffer.name,
        type=UnknownType(),
        nbytes=buffer.nbytes,
        kind=buffer.kind,
        first_step=lifetime.start,
        last_step=max(lifetime.start, lifetime.stop - 1),
        producer=schedule.steps[lifetime.start].operator if is_made else "",
        origin=Origin(),
    )


def _nbytes(type_: Type) -> int:
    return type_.nbytes if isinstance(type_, TensorType | BoundedType) and type_.has_size else 0
