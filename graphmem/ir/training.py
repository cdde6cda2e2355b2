"""Training: what one eager PyTorch training step needs, found from the forward file alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graphmem.ir.analysis import ModelFacts
from graphmem.ir.graph import Exactness, Issue, Origin, exactness_of
from graphmem.ir.memory import IntColumn, Lifetimes, Timeline
from graphmem.ir.options import TrainingOptions
from graphmem.ir.questions import Interval, Question
from graphmem.ir.schedule import Schedule
from graphmem.ir.types import TensorType

PHASES = ("forward", "backward", "optimizer")
BREAKDOWN = (
    "parameters", "gradients", "optimizer_state", "buffers", "inputs", "activations", "temporaries", "workspace",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HostTraffic:
    """Bytes of host memory that an offload needs, and bytes that one step moves to the host and back."""

    host: int
    to_host: int
    to_device: int

    def seconds(self, bandwidth: float) -> float:
        """Time of the copies at `bandwidth` bytes per second, when nothing hides them behind computation."""
        return (self.to_host + self.to_device) / bandwidth


@dataclass(frozen=True, slots=True)
class Inferred:
    """Something that the file does not say and that was concluded; `nbytes` is its effect on the peak, if known."""

    what: str
    where: str
    evidence: str
    nbytes: int | None = None


@dataclass(frozen=True, slots=True)
class SavedActivation:
    """A forward tensor that the backward pass waits for."""

    name: str
    type: TensorType
    nbytes: int
    operator: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class AllocatorFigures:
    """What the CUDA caching allocator makes of the step: `cublas_workspace` is in all of it, `context` outside.

    `unknown` names what the device holds beside the trace and no figure counts; with any, the figures are lower bounds.
    """

    allocated: int
    reserved: int
    reserved_expandable: int
    cublas_workspace: int
    context: int
    unknown: tuple[str, ...] = ()

    @property
    def may_hold_more(self) -> bool:
        """True when what is not counted may keep a step from fitting."""
        return may_hold_more(self.unknown)


def may_hold_more(unknown: Iterable[str]) -> bool:
    """True when what is not counted may keep a step or a run from fitting.

    The workspace of a convolution may not: without room for it PyTorch takes the next algorithm, which needs less
    (aten/src/ATen/native/cudnn/Conv_v7.cpp `try_all` and Conv_v8.cpp, which catch the out-of-memory error).
    """
    return any("conv" not in text for text in unknown)


@dataclass(frozen=True, slots=True, eq=False)
class StepDetails:
    """What a picture of the step shows: row i of `types` and `homes` is buffer i, entry s of `origins` is step s.

    `homes` is where in the model a buffer belongs: the module that made it, or that first reads the parameter which it
    is, or is the state of. `reads` are the buffers that each step reads, `saved` the rows of the activations that wait
    for the backward pass. `events` is every allocation n as n + 1 and every release as -(n + 1), in order; numbers
    beyond the buffers are those of `scratch`: (bytes, step) of what one operator allocates and gives back.
    """

    types: tuple[TensorType, ...]
    homes: tuple[Origin, ...]
    origins: tuple[Origin, ...]
    reads: tuple[tuple[int, ...], ...]
    saved: tuple[int, ...]
    events: IntColumn
    scratch: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Training:
    """What `graphmem.train` returns. All bytes; `peak` is tensor-level and counts what was there before the step.

    `breakdown` is that of the peak, by the names of BREAKDOWN; `workspace` of it is beside the peak, not in it.
    """

    model: ModelFacts
    settings: TrainingOptions
    peak: int
    peak_phase: str
    peak_operator: str
    peak_node: str
    peak_origin: Origin
    phase_peaks: Mapping[str, int]
    breakdown: Mapping[str, int]
    baseline: int
    saved: tuple[SavedActivation, ...]
    saved_bytes: int
    allocator: AllocatorFigures | None
    inferred: tuple[Inferred, ...]
    issues: tuple[Issue, ...]
    schedule: Schedule
    lifetimes: Lifetimes
    timeline: Timeline
    details: StepDetails | None = None
    traffic: HostTraffic | None = None  # of an offload
    interval: Interval | None = None  # where the file leaves questions open

    @property
    def is_complete(self) -> bool:
        """True when every figure is exact as far as graphmem knows."""
        return self.exactness == "exact"

    @property
    def exactness(self) -> Exactness:
        """How to read every figure: exact, at most, at least, or between the ends of the interval."""
        effect = exactness_of(self.issues)
        return "between" if effect == "exact" and self.questions else effect

    @property
    def questions(self) -> tuple[Question, ...]:
        """What the file does not tell and the caller has not answered, most bytes first."""
        return self.interval.questions if self.interval is not None else ()

    @property
    def least(self) -> int:
        """The lower end of the peak."""
        return self.interval.least if self.interval is not None else self.peak

    @property
    def most(self) -> int:
        """The upper end of the peak, which a budget has to hold."""
        return self.interval.most if self.interval is not None else self.peak
