"""Fit: whether a model fits a device, the largest batch that does, and what else would fit at what cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from graphmem.ir.analysis import ModelFacts
from graphmem.ir.device import Device
from graphmem.ir.errors import BrokenInvariantError
from graphmem.ir.graph import Effect, Issue
from graphmem.ir.questions import Question

Verdict: TypeAlias = Literal["fits", "fits, not proved", "does not fit", "does not fit, not proved"]

# What following an option does to the outcome of training, from nothing to a lot.
Outcome: TypeAlias = Literal["same", "rounding", "other"]


@dataclass(frozen=True, slots=True)
class Need:
    """What one step, or one run, needs at one batch; bytes.

    `peak` is tensor-level, with everything that was there before the step. `compared` is held against the device: on
    devices with a CUDA caching allocator what that reserves, elsewhere the peak. `exactness` says how to read it,
    `counted` how to but for what no figure holds, which is `uncounted`. `moved` is an estimate of the bytes that
    operators read and write, `copied` those that an offload sends to host memory and back, `host` what it keeps there.
    """

    batch: int | None
    peak: int
    compared: int
    exactness: Effect
    allocated: int | None = None
    reserved: int | None = None
    uncounted: tuple[str, ...] = ()
    counted: Effect = "at least"
    moved: int = 0
    copied: int = 0
    host: int = 0

    def verdict(self, usable: int) -> Verdict:
        """Whether it fits `usable` bytes, and whether the figure proves that."""
        if self.compared <= usable:
            return "fits" if self.exactness != "at least" else "fits, not proved"
        return "does not fit" if self.exactness != "at most" else "does not fit, not proved"


@dataclass(frozen=True, slots=True)
class Largest:
    """The largest batch found that fits; `refused` is the next batch, evaluated too, which does not.

    `batch` is 0 when not even 1 fits. `refused` is None where the search ended at its limit.
    """

    batch: int
    refused: int | None

    def __post_init__(self) -> None:
        if self.batch < 0 or (self.refused is not None and self.refused <= self.batch):
            raise BrokenInvariantError(f"batch {self.batch} fits and {self.refused} does not")


@dataclass(frozen=True, slots=True)
class Option:
    """One way to go on: `settings` are the keyword arguments of `graphmem.train` (or `analyze`) that give `need`.

    `largest` is the largest batch with it, when that was asked; `cost` is the estimated time of a sample relative to
    the settings asked about (1.0); `capacity` the bytes it is held against.
    """

    name: str
    what: str
    code: str
    outcome: Outcome
    settings: Mapping[str, Any]
    allocator: str
    need: Need
    largest: Largest | None
    cost: float
    capacity: int
    smallest_device: str = ""

    @property
    def headroom(self) -> int:
        """Bytes to spare."""
        return self.capacity - self.need.compared


@dataclass(frozen=True, slots=True)
class HostPart:
    """One reason for system memory."""

    what: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class HostMemory:
    """System memory to pair with the device: the sum of its parts, and the next size that is sold."""

    parts: tuple[HostPart, ...]
    sold: int

    @property
    def nbytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.nbytes for part in self.parts)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device that the step fits, with bytes to spare."""

    device: Device
    usable: int
    need: Need

    @property
    def headroom(self) -> int:
        """Bytes to spare."""
        return self.usable - self.need.compared


@dataclass(frozen=True, slots=True)
class Paging:
    """The last resort, memory that pages (cudaMallocManaged): what alone comes back over the link in every step.

    `nbytes` is a lower bound: what is alive at the peak beyond the room there is, is read later and must come back.
    """

    nbytes: int
    seconds: float
    link: str


@dataclass(frozen=True, slots=True)
class Fit:
    """What `graphmem.fit` returns.

    `need` is that of the batch asked about (1, or the batch of the file, when none was); `largest` is None where the
    file's batch cannot be changed. With no device, `candidates` are those it fits, smallest first.
    """

    model: ModelFacts
    mode: Literal["inference", "training"]
    settings: Mapping[str, Any]
    device: Device | None
    usable: int
    compared: str
    batch_asked: int | None
    need: Need
    largest: Largest | None
    curve: tuple[Need, ...]
    options: tuple[Option, ...]
    candidates: tuple[Candidate, ...]
    host: HostMemory
    issues: tuple[Issue, ...]
    notes: tuple[str, ...]
    paging: Paging | None = None  # where nothing fits
    questions: tuple[Question, ...] = ()  # that the file leaves open; `need` and `largest` are of the likeliest answers
    worst: Need | None = None  # as `need`, under the answers that need most
    surely: Largest | None = None  # as `largest`, likewise

    @property
    def verdict(self) -> Verdict:
        """Of the batch asked about; with no device, whether any device of the catalogue has room."""
        if self.device is None:
            return self.candidates[0].need.verdict(self.candidates[0].usable) if self.candidates else "does not fit"
        if self.worst is not None and self.need.compared <= self.usable < self.worst.compared:
            return "fits, not proved"
        return self.need.verdict(self.usable)

    @property
    def fits(self) -> bool:
        """True when the step fits, proved or not."""
        return self.verdict.startswith("fits")

    @property
    def is_proved(self) -> bool:
        """True when the figure proves the verdict."""
        return "not proved" not in self.verdict
