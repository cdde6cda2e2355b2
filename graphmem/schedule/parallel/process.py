"""Program -> one rank's simulated step, with places where a way of parallel training hooks in, and its figures.

The optimizer of every rank runs on the same machine, one after another, after the backward pass that they share; its
temporaries die with it, so each sees what it would see alone. Its state is the same from the first step to the last,
so it is added to the timeline instead of being simulated.

Bytes on the links are those that ring algorithms send; n bytes is the whole buffer, W the ranks.

    all-reduce       2 (W-1) n    a reduce-scatter and an all-gather of n
    reduce-scatter     (W-1) n    n bytes come in on every rank, n / W stay: each of W chunks makes W-1 hops
    all-gather         (W-1) n    n / W bytes come in on every rank, n stay
    broadcast          (W-1) n    along a chain
    point-to-point           n

Sums over all ranks, so they are whole numbers whatever the chunks are; one rank sends 1 / W of a ring's on average.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from graphmem.autograd import ops
from graphmem.autograd.backward import Engine
from graphmem.autograd.forward import Forward
from graphmem.autograd.machine import Machine
from graphmem.autograd.strides import Shape, contiguous
from graphmem.autograd.tensor import Node, Storage, Tensor, itemsize
from graphmem.ir.errors import OptionError
from graphmem.ir.graph import Issue
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Call, Program
from graphmem.ir.ranks import SHARED, Collective, Rank
from graphmem.ir.training import PHASES
from graphmem.memory.liveness import lifetimes, timeline
from graphmem.schedule.step import forward_issues, loss_value, optimizer_of, schedule_of

_KINDS = {
    "parameter": "parameters", "gradient": "gradients", "optimizer_state": "optimizer_state", "buffer": "buffers",
    "constant": "buffers", "input": "inputs", "activation": "activations", "temporary": "temporaries",
    "communication": "communication",
}  # fmt: skip


class Watched(Forward):
    """A forward pass that says before and after which call it is."""

    before: Callable[[int], None] | None = None
    after: Callable[[int], None] | None = None
    position = -1

    def _run(self, call: Call) -> None:
        self.position += 1
        if self.before is not None:
            self.before(self.position)
        super()._run(call)
        if self.after is not None:
            self.after(self.position)


class Hooked(Engine):
    """A backward pass with torch's two kinds of hooks: before a node runs, and after a leaf has its gradient."""

    def __init__(
        self, machine: Machine, before: dict[int, list[Callable[[], None]]], ready: Callable[[Tensor], None]
    ) -> None:
        super().__init__(machine)
        self.before = before
        self.ready_leaf = ready

    def _evaluate(self, node: Node) -> None:
        for hook in self.before.pop(id(node), ()):
            hook()
        super()._evaluate(node)

    def _accumulate_leaf(self, variable: Tensor, grad: Tensor | None) -> None:
        super()._accumulate_leaf(variable, grad)
        if grad is not None:
            self.ready_leaf(variable)


@dataclass
class Cohort:
    """Ranks whose optimizers do the same: what they update, their state, and the steps of the machine that do it."""

    ranks: list[int]
    parameters: Sequence[Tensor]
    state: int = 0
    start: int = 0
    stop: int = 0
    holds: str = ""


def backward_pass(
    m: Machine, loss: Tensor, before: dict[int, list[Callable[[], None]]], ready: Callable[[Tensor], None]
) -> None:
    """As autograd.backward.backward, with hooks."""
    if loss.node is None:
        raise OptionError("the first output of the model does not depend on any trainable parameter")
    with m.within(phase="backward", kind="temporary", grad_enabled=False), m.scope():
        seed = ops.like(m, "aten::ones_like", loss)
        Hooked(m, before, ready).run(loss.node, loss.output, seed)


def forward_pass(m: Machine, forward: Forward, settings: TrainingOptions, target: Tensor | None) -> Tensor:
    """The loss; output and loss stay held, as the locals of a training loop are."""
    return loss_value(m, settings, forward.run(), target)


def optimized(m: Machine, settings: TrainingOptions, cohorts: Sequence[Cohort]) -> None:
    """Run the optimizer of every cohort and note its steps and state."""
    for cohort in cohorts:
        scratch = Machine(device=m.device)
        optimizer_of(scratch, settings, cohort.parameters).make_state()
        cohort.state = sum(record.nbytes for record in scratch.records)
        cohort.start = len(m.steps)
        optimizer_of(m, settings, cohort.parameters).run()
        cohort.stop = len(m.steps)


def figures(m: Machine, first: int, cohorts: Sequence[Cohort]) -> tuple[Rank, ...]:
    """The peaks of every rank, from the step `first` of the machine on; ranks in order."""
    schedule = schedule_of(m, first)
    steps = tuple(schedule.steps)
    alive = lifetimes(schedule)
    live = timeline(alive, schedule).live - np.array([step.workspace for step in steps], dtype=np.int64)
    phases = np.array([PHASES.index(step.phase) for step in steps])
    shared = phases < PHASES.index("optimizer")
    baseline = sum(schedule.buffers[row].nbytes for row in schedule.entering)
    found: list[Rank] = []
    for cohort in cohorts:
        mine = shared.copy()
        mine[cohort.start - first : cohort.stop - first] = True
        at = int(np.where(mine, live, -1).argmax())
        breakdown = dict.fromkeys(SHARED, 0)
        for row in np.flatnonzero((alive.start <= at) & (alive.stop > at)).tolist():
            breakdown[_KINDS[schedule.buffers[row].kind]] += schedule.buffers[row].nbytes
        breakdown["optimizer_state"] += cohort.state
        tops = {
            phase: int(live[mine & (phases == i)].max(initial=-cohort.state)) + cohort.state
            for i, phase in enumerate(PHASES)
        }
        found += [
            Rank(
                rank, int(live[at]) + cohort.state, steps[at].phase, steps[at].operator, tops, breakdown,
                baseline + cohort.state, cohort.holds,
            )
            for rank in cohort.ranks
        ]  # fmt: skip
    return tuple(sorted(found, key=lambda r: r.rank))


def issues_of(program: Program, forward: Forward) -> tuple[Issue, ...]:
    """What the program and its run have to say about exactness."""
    return (*program.issues, *forward_issues(forward))


def trained(values: dict[str, Tensor], program: Program) -> list[Tensor]:
    """The parameters that need a gradient, in the order of the file. Raises OptionError when there is none."""
    found = [values[g.name] for g in program.of("parameter") if values[g.name].requires_grad]
    if not found:
        raise OptionError("no parameter needs a gradient: the file holds no float weights, or --freeze leaves none")
    return found


# -- memory that comes and goes by hand, as storage.resize_ does it


def unmade(shape: Shape, dtype: str, name: str = "") -> Tensor:
    """A row-major tensor on a storage of no bytes."""
    return Tensor(Storage(-1, 0, refs=1), shape, contiguous(shape), dtype, name=name)


def resize(m: Machine, storage: Storage, elements: int, dtype: str) -> None:
    """Give the storage other memory; views of it follow."""
    if storage.nbytes:
        m.free(storage)
    storage.nbytes = elements * itemsize(dtype)
    if storage.nbytes:
        storage.number = m.allocate(storage.nbytes, (elements,), dtype).number


def flat(m: Machine, nbytes: int, operator: str, label: str, kind: str = "communication") -> Tensor:
    """A flat buffer with a handle of its own."""
    with m.within(kind=kind, label=label), m.operator(operator), m.scope():
        tensor = m.hold(m.empty((nbytes,), "uint8"))
    tensor.name = label
    return tensor


HOPS = {"all-reduce": 2, "reduce-scatter": 1, "all-gather": 1, "broadcast": 1}  # times W - 1


def sent(operation: str, nbytes: int, ranks: int) -> int:
    """Bytes that all ranks together send for one call on a buffer of `nbytes`."""
    return nbytes if operation == "point-to-point" else HOPS[operation] * (ranks - 1) * nbytes


def collective(operation: str, what: str, buffers: Iterable[int], ranks: int) -> list[Collective]:
    """One row for calls on these buffers; none where nothing is sent."""
    sizes = [nbytes for nbytes in buffers if nbytes]
    total = sum(sent(operation, nbytes, ranks) for nbytes in sizes)
    return [Collective(operation, what, len(sizes), sum(sizes), total)] if total else []
