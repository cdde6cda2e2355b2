"""Program -> Survey: one forward pass of a micro-batch, position by position, and bounds that follow for any stage.

A stage of calls [a, b) needs at least what its calls read, the state and gradients of its parameters, its receive
buffers, and for every micro-batch in flight what its calls leave for the backward pass. All of it are sums over calls
or figures of the two ends, so a bound for every stage is three additions.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from graphmem.autograd.machine import Machine
from graphmem.autograd.tensor import Tensor
from graphmem.ir.graph import Issue
from graphmem.ir.memory import IntColumn
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Program
from graphmem.ir.types import TensorType
from graphmem.schedule.parallel.process import Watched, issues_of, trained
from graphmem.schedule.parallel.stage import Sent
from graphmem.schedule.step import given_values, optimizer_of, target_value

PRODUCTS = ("linear", "addmm", "mm", "matmul", "conv", "embedding")  # whose gradient of a weight is a new tensor
SMALL = 4096  # bytes: what is less is left out of the bound when a second stage holds it


@dataclass(frozen=True, slots=True)
class Again:
    """Something given that is read at `position` after it was at `before`: a stage between the two holds it too."""

    before: int
    position: int
    held: int
    state: int
    grads: int


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """Bytes by position; `held`, `state`, `grads` and `saved` are running sums, so that [a, b) is sum[b] - sum[a]."""

    known: Mapping[str, Sent]
    held: IntColumn
    state: IntColumn
    grads: IntColumn
    saved: IntColumn
    arriving: IntColumn  # of one micro-batch, over the cut before the call at that position
    returning: IntColumn  # gradients that come back over it
    again: tuple[Again, ...]
    fresh: IntColumn  # the largest gradient of a weight that the call at that position makes
    inputs: int
    target: int
    issues: tuple[Issue, ...]


def surveyed(program: Program, settings: TrainingOptions) -> Survey:
    """Run the forward pass of one micro-batch and note what every call makes and leaves."""
    m = Machine(device=settings.device)
    values = given_values(m, program, settings)
    trained(values, program)
    forward = Watched(m, program, values)
    ends: list[int] = []
    known = {g.name: Sent(g.name, g.type, False) for g in program.of("input")}

    def after(position: int) -> None:
        ends.append(len(m.steps))
        for name in program.calls[position].outputs:
            tensor = forward.values.get(name)
            if tensor is not None:
                known[name] = Sent(name, TensorType(tensor.dtype, tensor.shape), tensor.requires_grad)

    forward.after = after
    forward.run()
    count = len(program.calls)
    saved = np.zeros(count + 1, dtype=np.int64)
    for record in m.records:
        if record.kind == "activation" and record.stop < 0:
            saved[min(bisect_right(ends, record.start), count - 1) + 1] += record.nbytes
    held, state, grads, again = _held(m, program, settings, values)
    target = target_value(m, program, settings)
    arriving, returning = _crossed(program, known)
    inputs = sum(known[g.name].nbytes for g in program.of("input"))
    fresh, asked = _fresh(program, values), target.nbytes if target is not None else 0
    return Survey(
        known, np.cumsum(held), np.cumsum(state), np.cumsum(grads), np.cumsum(saved), arriving, returning, again,
        fresh, inputs, asked, issues_of(program, forward),
    )  # fmt: skip


def _held(
    m: Machine, program: Program, settings: TrainingOptions, values: Mapping[str, Tensor]
) -> tuple[IntColumn, IntColumn, IntColumn, tuple[Again, ...]]:
    """What exists before the step, its state and its gradients, at the first call that reads it; then later reads."""
    held, state, grads = (np.zeros(len(program.calls) + 1, dtype=np.int64) for _ in range(3))
    again: list[Again] = []
    seen: dict[str, tuple[int, int, int, int]] = {}
    roles = {g.name: g.role for g in program.given}
    for position, call in enumerate(program.calls):
        for name in call.reads:
            if name not in roles or roles[name] == "input":
                continue
            if name in seen:
                again.append(Again(seen[name][0], position, *seen[name][1:]))
                seen[name] = position, *seen[name][1:]
                continue
            tensor = values[name]
            nbytes = m.records[tensor.storage.number].nbytes
            kept = (_state(settings, tensor), tensor.nbytes) if tensor.requires_grad else (0, 0)
            seen[name] = position, nbytes, *kept
            held[position + 1] += nbytes
            state[position + 1] += kept[0]
            grads[position + 1] += kept[1]
    return held, state, grads, tuple(row for row in again if row.held >= SMALL)


def _fresh(program: Program, values: Mapping[str, Tensor]) -> IntColumn:
    found = np.zeros(len(program.calls) + 1, dtype=np.int64)
    for position, call in enumerate(program.calls):
        if call.target.split(".")[-2 if call.target.count(".") > 1 else -1].startswith(PRODUCTS):
            weights = (values[name] for name in call.reads if name in values)
            found[position] = max((t.nbytes for t in weights if t.requires_grad and len(t.shape) > 1), default=0)
    return found


def _state(settings: TrainingOptions, parameter: Tensor) -> int:
    scratch = Machine(device=settings.device)
    optimizer_of(scratch, settings, [parameter]).make_state()
    return sum(record.nbytes for record in scratch.records)


def _crossed(program: Program, known: Mapping[str, Sent]) -> tuple[IntColumn, IntColumn]:
    """Bytes over the cut at every position, forward and back, by one sweep over the lives of values."""
    count = len(program.calls)
    made = dict.fromkeys((g.name for g in program.of("input")), 0)
    last: dict[str, int] = {}
    for position, call in enumerate(program.calls):
        for name in call.reads:
            last[name] = position
        made.update((name, position + 1) for name in call.outputs)
    last.update((name, count) for name in program.outputs)
    arriving, returning = np.zeros(count + 2, dtype=np.int64), np.zeros(count + 2, dtype=np.int64)
    for name, start in made.items():
        stop = last.get(name, -1)
        if name not in known or stop < start:
            continue
        sent = known[name]
        for column, nbytes in ((arriving, sent.nbytes), (returning, sent.nbytes if sent.needs_grad else 0)):
            column[start] += nbytes
            column[stop + 1] -= nbytes
    return np.cumsum(arriving[:-1]), np.cumsum(returning[:-1])


def bounds(survey: Survey, cuts: IntColumn, index: int, count: int, micro_batches: int) -> IntColumn:
    """Lower bounds for stage `index` of `count`, one for each pair of cuts [row, column]; huge where there is no call.

    While the most micro-batches are in flight their saved tensors are alive; gradients too, unless all micro-batches
    are in flight before the first backward. When the optimizer runs, gradients are.
    """
    in_flight = min(micro_batches, count - index)

    def between(column: IntColumn) -> IntColumn:
        return column[cuts][None, :] - column[cuts][:, None]

    fixed = between(survey.held) + between(survey.state)
    fixed = fixed + (micro_batches * survey.arriving[cuts][:, None] if index else micro_batches * survey.inputs)
    is_last = index == count - 1
    fixed = fixed + (micro_batches * survey.target if is_last else micro_batches * survey.returning[cuts][None, :])
    grads, waiting = between(survey.grads), in_flight * between(survey.saved)
    for row in survey.again:
        first, last = cuts[:, None], cuts[None, :]
        holds = (first > row.before) & (first <= row.position) & (last > row.position)
        fixed, grads = fixed + holds * (row.held + row.state), grads + holds * row.grads
    busy = waiting + (grads if micro_batches > in_flight else 0)
    if micro_batches > 1:  # a later backward makes a gradient beside the one that it is added to
        others = in_flight - 1 if micro_batches > in_flight else in_flight - 2
        adding = grads + _greatest(survey.fresh, cuts) + max(others, 0) * between(survey.saved)
        busy = np.maximum(busy, adding)
    found: IntColumn = fixed + np.maximum(busy, grads)
    found[cuts[None, :] <= cuts[:, None]] = np.iinfo(np.int64).max // 4
    return found


def _greatest(column: IntColumn, cuts: IntColumn) -> IntColumn:
    """The largest entry between each pair of cuts."""
    parts = [int(column[a:b].max(initial=0)) for a, b in pairwise(cuts.tolist())]
    found = np.zeros((len(cuts), len(cuts)), dtype=np.int64)
    for row in range(len(parts)):
        found[row, row + 1 :] = np.maximum.accumulate(parts[row:])
    return found
