"""Path -> ModelFrontier: what the training step of a model may keep and what it computes again, at three grains.

The grains, and who judges a plan:

    operation   any value may be computed again       judged by the evaluator of the question
    selective   modules, some products in them kept   judged by running the step, exact as PyTorch runs it
    module      modules as a whole                    the same
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from graphmem.autograd.tape import Tape
from graphmem.checkpoint.bounds import Bound
from graphmem.checkpoint.evaluate import course_of
from graphmem.checkpoint.solve import Search, budget_of, deadline_after
from graphmem.ir.graph import exactness_of
from graphmem.ir.keywords import FrontierKeywords, asked, takes
from graphmem.ir.program import Program
from graphmem.ir.recompute import (
    Frontier,
    Habit,
    Judged,
    ModelFrontier,
    Obstacle,
    Point,
    Recompute,
    WrapPlan,
)
from graphmem.reader.batch import read_at_batch
from graphmem.schedule.eager import TrainingTrace, training_trace
from graphmem.schedule.module_plans import Judge, candidates, practice
from graphmem.schedule.programs import program_of
from graphmem.schedule.recompute import question_of
from graphmem.schedule.training_figures import followed

if TYPE_CHECKING:
    from typing_extensions import Unpack

Progress = Callable[[str], None]
SHOWN = 5  # obstacles
LOSS_SHARE = 0.15  # of the least peak: more than this in logits and their loss, and they are what to change
LOSS = ("log_softmax", "nll_loss", "cross_entropy")


@takes(FrontierKeywords)
def checkpoint_frontier(
    path: str | Path,
    dims: Mapping[str, int] | None = None,
    *,
    budget: int | None = None,
    ratio: float | None = None,
    timeout: float | None = None,
    progress: Progress = lambda _: None,
    **options: Unpack[FrontierKeywords],
) -> ModelFrontier:
    """What to keep and what to compute again in a training step of the model in the ONNX file at `path`.

    Args:
        path: the forward graph, as for `train`.
        dims: as for `train`.
        budget: peak bytes allowed; with it, or `ratio`, the best plan of each grain instead of whole frontiers.
        ratio: the same as a part of the peak that keeps everything.
        timeout: seconds after which the best found so far is returned.
        progress: called with a line of text now and then.
        options: how to read the file, and the step.

    Raises:
        ModelError: the file is not a readable, valid model.
        OptionError: an option fits neither the model nor the choices.
    """
    deadline = deadline_after(timeout)
    reading, step = asked(FrontierKeywords, dims, options)
    graph, fixed = read_at_batch(path, reading)
    program = program_of(graph, fixed, step)
    tape = Tape()
    with followed(f"the backward pass of '{Path(path).stem}'"):
        trace = training_trace(program, step, tape)
    question = question_of(trace, tape, Path(path).stem)
    search = (_Unproved if timeout is None else Search)(question, deadline, progress=progress)
    allowed = budget if ratio is None else budget_of(question, ratio)
    judge = Judge(program, step)
    wraps = _wraps(program, tape, trace, judge, deadline, progress)
    whole = search.frontier()
    found = whole if allowed is None else _at(search, allowed)
    lowest = _least(whole)
    habits = _habits(program, judge, whole, wraps)
    obstacles, advice = _obstacles(question, lowest)
    return ModelFrontier(
        operations=found,
        wraps=wraps if allowed is None else _within(wraps, allowed),
        practice=habits,
        obstacles=obstacles,
        advice=advice,
        exactness=exactness_of((*graph.issues, *program.issues, *trace.issues)),
        least=min(lowest.peak, *(p.peak for p in wraps)),
        least_wrapped=min(p.peak for p in wraps),
        budget=allowed,
    )


class _Unproved(Search):
    """Without CP-SAT, which takes its time to raise bounds: who has that gives a timeout."""

    def _raised(self, budget: int, bound: Bound, small: bool) -> Bound:
        del budget, small
        return bound


def _at(search: Search, budget: int) -> Frontier:
    """The point of the budget alone; no point where there is none."""
    point = search.point(budget)
    return search.as_frontier([point] if isinstance(point, Point) else [])


def _wraps(
    program: Program, tape: Tape, trace: TrainingTrace, judge: Judge, deadline: float, progress: Progress
) -> tuple[WrapPlan, ...]:
    """Non-dominated plans of both grains: none costs more than another that needs no more bytes, of its grain."""
    judge.judged((), "keep-all")
    for count, (strategy, chosen) in enumerate(candidates(program, tape, trace.machine, is_selective=True)):
        if monotonic() > deadline:
            progress(f"stopped after {count} plans of modules")
            break
        judge.judged(chosen, strategy)
        if count % 10 == 9:
            progress(f"{count + 1} plans of modules judged")
    every = [*judge.found.values()]
    kept = [*_pareto([p for p in every if p.grain == "module"]), *_pareto(every)]
    return tuple(sorted(dict.fromkeys(kept), key=_by_cost))


def _pareto(plans: Sequence[WrapPlan]) -> list[WrapPlan]:
    kept: list[WrapPlan] = []
    for plan in sorted(plans, key=_by_cost):
        if not kept or plan.peak < kept[-1].peak:
            kept.append(plan)
    return kept


def _by_cost(plan: WrapPlan) -> tuple[int, int, int, tuple[str, ...]]:
    return plan.again, plan.peak, len(plan.wraps), tuple(w.spec for w in plan.wraps)


def _habits(program: Program, judge: Judge, whole: Frontier, wraps: Sequence[WrapPlan]) -> tuple[Habit, ...]:
    total = whole.question.total_cost
    found = []
    plans = [judge.judged(chosen, title) for title, chosen in practice(program)]
    plans += [judge.of_specs(["sqrt"], "sqrt(n)")] if len(plans) > 1 else []
    for plan in (p for p in plans if p.again):
        rivals = [p.judged.cost - total for p in whole.points if p.judged.peak <= plan.peak]
        rivals += [p.again for p in wraps if p.peak <= plan.peak]
        found.append(Habit(plan.strategy, plan, min([plan.again, *rivals])))
    return tuple(found)


def _within(plans: Sequence[WrapPlan], budget: int) -> tuple[WrapPlan, ...]:
    """The cheapest plan of plain wraps, and of any when that is cheaper still."""
    fitting = [p for p in plans if p.peak <= budget]
    plain = min((p for p in fitting if p.grain == "module"), key=_by_cost, default=None)
    best = min(fitting, key=_by_cost, default=None)
    return tuple(dict.fromkeys(p for p in (plain, best) if p is not None))


def _least(found: Frontier) -> Judged:
    return min((p.judged for p in found.points), key=lambda j: j.peak, default=found.baseline)


def _obstacles(question: Recompute, least: Judged) -> tuple[tuple[Obstacle, ...], str]:
    """What is alive at the peak of the course, greatest first, and what else would lower it."""
    course = course_of(question, least.course.order)
    alive: set[int] = set()
    at_peak: frozenset[int] = frozenset()
    live = most = 0
    for step, operation in enumerate(course.order):
        alive.add(operation)
        live += question.operations[operation].nbytes
        if live > most:
            most, at_peak = live, frozenset(alive)
        for freed in course.frees[step]:
            alive.discard(freed)
            live -= question.operations[freed].nbytes
    rows = [question.operations[v] for v in sorted(at_peak)]
    gradients = sum(o.nbytes for o in rows if o.backward and o.name.endswith(".grad"))
    of_loss = sum(o.nbytes for o in rows if any(part in f"{o.name} {o.operator}" for part in LOSS))
    others = sorted((o for o in rows if not o.name.endswith(".grad")), key=lambda o: (-o.nbytes, o.name))
    listed = [
        Obstacle("parameters, buffers, optimizer state, inputs", question.resident),
        Obstacle("gradients of parameters", gradients),
        *(Obstacle(f"{o.name}{f' in {o.scope}' if o.scope else ''}", o.nbytes) for o in others[:SHOWN]),
    ]
    held = [o for o in listed if o.nbytes]
    if of_loss > LOSS_SHARE * least.peak:
        return tuple(held), (
            "the logits and their loss set the floor, and no checkpoint lowers that: compute the cross-entropy in "
            "chunks of rows (for example with Liger Kernel's fused linear cross-entropy, or torch's checkpoint around "
            "head and loss of each chunk)"
        )
    if question.resident + gradients > least.peak // 2:
        return tuple(held), "parameters and what belongs to them set the floor: fewer are trained with --freeze or LoRA"
    return tuple(held), ""
