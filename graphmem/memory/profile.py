"""Analysis (-> Plan) -> Profile: what the pictures of a forward run show, worked out once for all of them."""

from __future__ import annotations

from graphmem.ir.analysis import Analysis
from graphmem.ir.memory import Plan
from graphmem.ir.profile import Profile
from graphmem.ir.types import BoundedType, TensorType, Type
from graphmem.memory.bands import bands_by_use
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


def _nbytes(type_: Type) -> int:
    return type_.nbytes if isinstance(type_, TensorType | BoundedType) and type_.has_size else 0
