"""WrapPlan or course -> what to paste: PyTorch code, a word on Hugging Face, names for JAX."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from graphmem.ir.quoting import name_shown, python_comment, python_string
from graphmem.ir.recompute import Judged, ModelFrontier, Recompute, WrapPlan
from graphmem.report.units import size

FORMS = ("torch", "sac", "hf", "jax")
NEAR = 1.25  # recomputation of a habit over that of the best plan at its peak: less is near the frontier
FAR = 1000  # beyond, a multiple says no more than the two figures do
_TORCH = '''from functools import partial

from torch.utils.checkpoint import checkpoint

AGAIN = {names}


def wrap(model):
    """Compute these modules again in the backward pass; call it once, before training."""
    for name in AGAIN:
        module = model.get_submodule(name)
        module.forward = partial(checkpoint, module.forward, use_reentrant=False)
    return model
'''
_SELECTIVE = '''from collections import Counter
from functools import partial

from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

# module -> results of its products that are kept: ATen name and how many calls of it came before; [] keeps none
AGAIN = {names}


def contexts(keep):
    seen = Counter()

    def policy(context, operator, *args, **kwargs):
        name = operator.name().removeprefix("aten::").partition(".")[0]
        name = "sdpa" if name.startswith("_scaled_dot_product") else name
        call = name, context.is_recompute  # before torch 2.13 the recomputation asks too
        seen[call] += 1
        kept = f"{{name}}#{{seen[call] - 1}}" in keep
        return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE

    return create_selective_checkpoint_contexts(policy)


def wrap(model):
    """Compute these modules again in the backward pass, but for what is kept; call it once, before training."""
    for name, keep in AGAIN.items():
        module = model.get_submodule(name)
        module.forward = partial(
            checkpoint, module.forward, use_reentrant=False, context_fn=partial(contexts, frozenset(keep))
        )
    return model
'''


def code(found: ModelFrontier, form: str) -> str:
    """The text to paste for the answer at a budget. `form` is one of FORMS."""
    if form == "hf":
        return "\n".join(verdict(found))
    if form == "jax":
        points = found.operations.points
        return names_for_jax(found.operations.question, points[-1].judged) if points else "# no plan fits"
    plans = [p for p in found.wraps if form == "sac" or p.grain == "module"]
    if not plans:
        return "# no plan of whole modules fits" + ("; see --emit sac" if form == "torch" else "")
    return torch_code(found, min(plans, key=lambda p: (p.again, p.peak)))


def torch_code(found: ModelFrontier, plan: WrapPlan) -> str:
    """Python that wraps a model as the plan says, with what it predicts in a comment."""
    base, total = found.operations.baseline.peak, max(1, found.operations.question.total_cost)
    name = name_shown(found.operations.question.name)
    peak = f"peak {size(plan.peak)} ({plan.peak:,} bytes), {plan.peak / base:.1%} of keeping all;"
    told = (f"graphmem checkpoint, {name}: {peak}", f"{plan.again / total:.2%} more computation a step")
    head = "".join(f"{python_comment(line)}\n" for line in told)
    if not plan.wraps:
        return head + "# nothing needs to be computed again\n"
    if plan.grain == "module":
        rows = "".join(f"    {python_string(w.scope)},\n" for w in plan.wraps)
        return head + _TORCH.format(names=f"[\n{rows}]")
    rows = "".join(f"    {python_string(w.scope)}: [{', '.join(map(python_string, w.keep))}],\n" for w in plan.wraps)
    return head + _SELECTIVE.format(names=f"{{\n{rows}}}")


def verdict(found: ModelFrontier) -> list[str]:
    """Whether gradient_checkpointing_enable, which checkpoints every block, is near the frontier; every n-th too."""
    total = max(1, found.operations.question.total_cost)
    base = found.operations.baseline.peak
    lines = []
    for habit in found.practice:
        plan, best = habit.plan, habit.best
        number = "".join(c for c in habit.title if c.isdecimal())
        call = f"gradient_checkpointing_enable({f'every_n_layers={number}' if number else ''})"
        call = "checkpoint_sequential, sqrt(n) segments" if habit.title == "sqrt(n)" else call
        lines.append(
            f"{call}: {plan.peak / base:.1%} of the peak, {plan.again / total:.2%} more computation; "
            f"the best found there: {best / total:.2%}{_distance(plan.again, best)}"
        )
    return lines or ["no repeated blocks: gradient_checkpointing_enable has nothing to wrap"]


def _distance(again: int, best: int) -> str:
    """How far a plan is from the best, as a multiple; nothing to say where the best computes nothing again."""
    if again <= NEAR * best:
        return " (near the frontier)"
    return f" ({again / best:.1f} times the best)" if best and again / best < FAR else ""


def names_for_jax(question: Recompute, judged: Judged) -> str:
    """A policy for jax.checkpoint: the values that are kept, by role, each to be tagged with checkpoint_name."""
    again = {v for v, times in Counter(judged.course.order).items() if times > 1}
    backward = question.first_backward
    least = judged.peak // 1000
    large = [v for v in range(backward) if question.operations[v].nbytes > least]
    used = [v for v in large if any(r >= backward for r in question.readers[v]) or v in again]
    roles: dict[str, list[bool]] = {}
    for v in used:
        roles.setdefault(_role(question, v), []).append(v not in again)
    kept = [role for role, flags in roles.items() if sum(flags) * 2 > len(flags)]
    mixed = [f"{name_shown(role)} ({sum(f)} of {len(f)})" for role, f in roles.items() if 0 < sum(f) < len(f)]
    rows = "".join(f"    {python_string(role)},\n" for role in kept)
    note = python_comment(f"kept in some blocks only: {', '.join(mixed)}") + "\n" if mixed else ""
    return (
        "# tag the values with jax.ad_checkpoint.checkpoint_name(x, NAME) where they are computed, wrap blocks with\n"
        "# jax.checkpoint(block, policy=policy)\nimport jax\n\n"
        f"{note}KEEP = [\n{rows}]\npolicy = jax.checkpoint_policies.save_only_these_names(*KEEP)\n"
    )


def _role(question: Recompute, value: int) -> str:
    """Module with numbers left out, and operator: what repeated blocks have in common."""
    operation = question.operations[value]
    scope = re.sub(r"\d+", "N", operation.scope)
    return f"{scope}.{operation.operator.removeprefix('aten::')}".lstrip(".")


def specs(plan: WrapPlan) -> Sequence[str]:
    """As `graphmem train --checkpoint` takes the plan."""
    return [w.spec for w in plan.wraps]
