"""Calls [start, stop) of a program -> the Stage of a pipeline that runs them, with what comes in and goes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

from graphmem.autograd.tensor import itemsize
from graphmem.ir.program import Given, Program
from graphmem.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class Sent:
    """A value that crosses into a stage: its type on one micro-batch, and whether its gradient comes back."""

    name: str
    type: TensorType
    needs_grad: bool

    @property
    def nbytes(self) -> int:
        """Bytes of one micro-batch."""
        return prod(self.type.shape) * itemsize(self.type.dtype)


@dataclass(frozen=True, slots=True)
class Stage:
    """What a rank runs; `program` is cut to its calls, at the batch of one micro-batch."""

    program: Program
    index: int
    count: int
    inputs: tuple[Sent, ...]
    outputs: tuple[Sent, ...]
    micro_batches: int

    @property
    def is_last(self) -> bool:
        """True for the stage that computes the loss."""
        return self.index == self.count - 1

    @property
    def in_flight(self) -> int:
        """Micro-batches whose forward pass waits for its backward, at most."""
        return min(self.micro_batches, self.count - self.index)


def cut(
    program: Program, start: int, stop: int, index: int, count: int, known: Mapping[str, Sent],
    micro_batches: int,
) -> Stage:  # fmt: skip
    """The stage that runs calls [start, stop)."""
    inputs, outputs = crossing(program, start, known), crossing(program, stop, known)
    calls = program.calls[start:stop]
    read = {name for call in calls for name in call.reads}
    is_last = index == count - 1
    given = tuple(g for g in program.given if _is_held(g, read, index))
    part = replace(
        program, calls=calls, given=given,
        outputs=program.outputs if is_last else tuple(sent.name for sent in outputs),
    )  # fmt: skip
    return Stage(part, index, count, inputs if index else (), () if is_last else outputs, micro_batches)


def _is_held(given: Given, read: set[str], index: int) -> bool:
    """Inputs are on the first rank, from where they are sent on; what else exists is where it is read."""
    return index == 0 if given.role == "input" else given.name in read


def crossing(program: Program, position: int, known: Mapping[str, Sent]) -> tuple[Sent, ...]:
    """The values that are there before the call at `position` and are needed from it on, in the order of making."""
    later = {name for call in program.calls[position:] for name in call.reads} | set(program.outputs)
    inputs = [g.name for g in program.of("input")]
    made = [name for call in program.calls[:position] for name in call.outputs]
    return tuple(known[name] for name in [*inputs, *made] if name in later and name in known)
