"""Analysis (-> Plan), or any Schedule -> Profile: what the pictures of a run show, worked out once for all of them."""

from __future__ import annotations

from itertools import pairwise

from graphmem.ir.analysis import Analysis, LiveTensor
from graphmem.ir.graph import Origin
from graphmem.ir.memory import Lifetime, Lifetimes, Plan, Timeline
from graphmem.ir.profile import Block, Profile, Scope
from graphmem.ir.schedule import Schedule
from graphmem.ir.types import BoundedType, TensorType, Type, UnknownType
from graphmem.memory.bands import bands_by_kind, bands_by_use
from graphmem.memory.blocks import blocks
from graphmem.memory.live import live_tensors
from graphmem.memory.scopes import scopes


def inference_profile(analysis: Analysis, plan: Plan | None = None) -> Profile:
    """The forward run of the analysis, with the plan of its buffers when there is one."""
    graph, run = analysis.graph, analysis.inference
    schedule, alive, live = run.schedule, run.lifetimes, run.timeline
    weights = {name: _nbytes(tensor.type) for name, tensor in graph.tensors.items() if tensor.role == "weight"}
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
