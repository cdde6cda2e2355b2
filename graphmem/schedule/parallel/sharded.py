"""Program -> one step under fully_shard on every block and on the model: zero3, and zero2 without resharding forward.

What a unit does when is in `sharding.py`; here are its places: around the calls of a unit, before the backward of what
it returned, and after that of what it read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from graphmem.autograd.machine import Machine
from graphmem.autograd.strides import contiguous
from graphmem.autograd.tensor import Node, Tensor
from graphmem.ir.errors import OptionError
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Program
from graphmem.ir.ranks import Parallel, Ranked
from graphmem.schedule.parallel.process import (
    Cohort,
    Watched,
    backward_pass,
    collective,
    figures,
    forward_pass,
    issues_of,
    optimized,
    unmade,
)
from graphmem.schedule.parallel.replicated import local_shape, padded_elements
from graphmem.schedule.parallel.sharding import ROOT, Group, Sharding, units
from graphmem.schedule.step import given_value, is_trained, target_value


def sharded(program: Program, settings: TrainingOptions, parallel: Parallel) -> Ranked:
    """Peaks of all ranks; the batch is that of one rank. Raises OptionError for a parameter without dimensions."""
    m = Machine(device=settings.device)
    values, shards = _given_shards(m, program, settings, parallel.ranks)
    groups = {
        unit.name: Group(unit, [values[n] for n in unit.parameters], [shards[n] for n in unit.parameters])
        for unit in units(program)
    }
    target = target_value(m, program, settings)
    first = len(m.steps)
    work = Sharding(m, parallel.ranks, parallel.kind == "zero3", groups)
    forward = Wrapped(m, program, values)
    forward.wrap(work)
    loss = forward_pass(m, forward, settings, target)
    backward_pass(m, loss, forward.hooks, lambda _: None)
    with m.within(phase="backward", kind="temporary"):
        work.end_backward()
    cohorts = _cohorts([shards[g.name] for g in program.of("parameter")], parallel.ranks)
    optimized(m, settings, cohorts)
    sent = [
        *collective("all-gather", "parameters of a unit", work.gathers, parallel.ranks),
        *collective("reduce-scatter", "gradients of a unit", work.scatters, parallel.ranks),
    ]
    return Ranked(
        parallel, settings, figures(m, first, cohorts), tuple(sent), _notes(groups, parallel, settings),
        issues_of(program, forward),
    )  # fmt: skip


def _given_shards(
    m: Machine, program: Program, settings: TrainingOptions, ranks: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What exists before the step: every parameter as a padded shard, its whole an empty storage."""
    values, shards = {}, {}
    for given in program.given:
        if given.role != "parameter":
            values[given.name] = given_value(m, given.role, given.name, given.type)
            continue
        shape, dtype = given.type.shape, given.type.dtype
        if not shape:
            raise OptionError(f"fully_shard refuses parameter '{given.name}': it has no dimension to shard")
        whole = unmade(shape, dtype, given.name)
        whole.requires_grad = is_trained(given, settings)
        about = m.within(phase="before", kind="parameter", label=given.name)
        with about, m.operator("before the step"), m.scope():
            shard = m.hold(m.empty((padded_elements(shape, ranks),), dtype))
        shard.name, shard.shape = given.name, shape
        shard.requires_grad = whole.requires_grad
        values[given.name], shards[given.name] = whole, shard
    if not any(shard.requires_grad for shard in shards.values()):
        raise OptionError("no parameter needs a gradient: the file holds no float weights, or --freeze leaves none")
    return values, shards


class Wrapped(Watched):
    """A forward pass in which units gather before they run, and leave hooks for the backward pass."""

    def wrap(self, work: Sharding) -> None:
        """Put fully_shard's hooks around the calls of every unit."""
        self.work = work
        self.hooks: dict[int, list[Callable[[], None]]] = {}
        self.starts: dict[int, list[Group]] = {}
        self.ends: dict[int, list[tuple[Group, int]]] = {}
        self.replaced: dict[str, tuple[Tensor, Tensor]] = {}
        for group in work.groups.values():  # the root comes first, so it opens first and closes last
            for start, stop in group.unit.runs:
                self.starts.setdefault(start, []).append(group)
                self.ends.setdefault(stop - 1, []).insert(0, (group, start))
        self.before, self.after = self._before, self._after

    def _before(self, position: int) -> None:
        for group in self.starts.get(position, ()):
            self.work.before_forward(group)
            if group.unit.name != ROOT:
                stop = next(stop for start, stop in group.unit.runs if start == position)
                self._register(group, position, stop)

    def _register(self, group: Group, start: int, stop: int) -> None:
        """RegisterPostBackwardFunction on the inputs: its backward runs when all their gradients are there."""
        names = dict.fromkeys(n for call in self.program.calls[start:stop] for n in call.reads)
        inputs = {n: self.values[n] for n in names if n in self.values and n not in self.given}
        inputs = {n: t for n, t in inputs.items() if t.requires_grad}
        if not inputs:
            return
        m = self.m
        with m.scope():
            outputs = [m.alias(t, t.shape, t.strides) for t in inputs.values()]
            m.record(
                "RegisterPostBackwardFunctionBackward", list(inputs.values()), outputs, partial(_post, self, group)
            )
            for (name, tensor), output in zip(inputs.items(), outputs, strict=True):
                self.replaced[name] = tensor, output
                self.values[name] = m.hold(output)

    def _after(self, position: int) -> None:
        for group, start in self.ends.get(position, ()):
            if group.unit.name != ROOT:
                self._restore()
            self.work.after_forward(group)
            index = len(self.work.order) - 1
            for node in self._outputs(start, position):
                hook = partial(self.work.before_backward, group, index)
                self.hooks.setdefault(id(node), []).append(hook)
            if group.unit.name == ROOT:
                self.work.end_forward()

    def _restore(self) -> None:
        """Names outside of the unit mean what they meant before it."""
        for name, (tensor, alias) in self.replaced.items():
            if self.values.get(name) is alias:
                self.values[name] = tensor
                self.m.release(alias)
            else:
                self.m.release(tensor)
        self.replaced.clear()

    def _outputs(self, start: int, position: int) -> list[Node]:
        """Nodes that made what a unit returns: values that are read after it, or leave the model."""
        made = [n for call in self.program.calls[start : position + 1] for n in call.outputs]
        later = {n for call in self.program.calls[position + 1 :] for n in call.reads} | set(self.program.outputs)
        tensors = [self.values[n] for n in made if n in later and n in self.values]
        nodes = {id(t.node): t.node for t in tensors if t.node is not None}
        return list(nodes.values())


def _post(forward: Wrapped, group: Group, m: Machine, node: Node, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    del m, node
    forward.work.after_backward(group)
    return grads


def _cohorts(shards: list[Tensor], ranks: int) -> list[Cohort]:
    """Ranks with equal shards together."""
    trained_shards = [s for s in shards if s.requires_grad]
    alike: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for rank in range(ranks):
        alike.setdefault(tuple(local_shape(s.shape, rank, ranks) for s in trained_shards), []).append(rank)
    return [
        Cohort(members, [_local(s, shape) for s, shape in zip(trained_shards, shapes, strict=True)])
        for shapes, members in alike.items()
    ]


def _local(shard: Tensor, shape: tuple[int, ...]) -> Tensor:
    return Tensor(shard.storage, shape, contiguous(shape), shard.dtype, name=shard.name, grad=shard.grad)


def _notes(groups: dict[str, Group], parallel: Parallel, settings: TrainingOptions) -> tuple[str, ...]:
    blocks = [name for name in groups if name != ROOT]
    named = f"{len(blocks)} blocks ({blocks[0]} ... {blocks[-1]}) and the rest" if blocks else "the whole model as one"
    notes = [f"fully_shard on {named}"]
    if parallel.kind == "zero2":
        notes.append("zero2 is fully_shard(reshard_after_forward=False): parameters stay gathered until the backward")
    if settings.device == "cpu" and parallel.ranks > 1:
        notes.append("gloo's own copies of what it gathers and scatters are counted; NCCL makes none (--device cuda)")
    return tuple(notes)
