"""Schedule: buffers and the steps that write and read them, in execution order.

    w0 = MatMul(x, W)     Step("w0", reads=(0,), writes=(1,))      buffers: 0 = x, 1 = w0, 2 = y
    y = Relu(w0)          Step("y",  reads=(1,), writes=(2,))      entering = (0,), leaving = (2,)

A buffer is written once, so it has exactly one lifetime: from the step that writes it (step 0 when it enters with the
caller) through the step that last reads it (the last step when it leaves with the caller).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Buffer:
    """`nbytes` bytes of memory that hold `tensors`, in the order in which they come to life; named after the first."""

    name: str
    nbytes: int
    kind: str
    tensors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One executed operation: an `operator` in one `phase` of the run.

    `reads` and `writes` are buffer numbers; `workspace` bytes are alive only during the step.
    """

    name: str
    operator: str
    phase: str
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    workspace: int = 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Steps over buffers. `entering` buffers live from step 0, `leaving` ones through the last step."""

    steps: tuple[Step, ...]
    buffers: tuple[Buffer, ...]
    entering: tuple[int, ...]
    leaving: tuple[int, ...]
