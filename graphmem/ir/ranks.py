"""Ranked: what a training step on several devices needs on each of them, and what it sends between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphmem.ir.graph import Effect, Issue, exactness_of
from graphmem.ir.options import TrainingOptions

KINDS = ("ddp", "zero1", "zero2", "zero3", "tp", "pipeline")
SHARED = ("parameters", "gradients", "optimizer_state", "buffers", "communication", "inputs", "activations",
          "temporaries")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parallel:
    """How a step is spread: a member of KINDS over so many ranks.

    `bucket_view` is DDP's gradient_as_bucket_view; `micro_batches` belongs to a pipeline.
    """

    kind: str
    ranks: int
    micro_batches: int = 1
    bucket_view: bool = False

    def __str__(self) -> str:
        more = f":{self.micro_batches}" if self.kind == "pipeline" else ":view" if self.bucket_view else ""
        return f"{self.kind}:{self.ranks}{more}"


@dataclass(frozen=True, slots=True)
class Collective:
    """Calls of one kind in a step. `payload` is the bytes of the whole buffers, `sent` those that cross links.

    `sent` sums over all ranks, by the ring's formula (schedule/parallel/process.py).
    """

    operation: str
    what: str
    calls: int
    payload: int
    sent: int


@dataclass(frozen=True, slots=True)
class Rank:
    """One device of the step, in bytes; `breakdown` is that of its peak, by the names of SHARED."""

    rank: int
    peak: int
    peak_phase: str
    peak_operator: str
    phase_peaks: Mapping[str, int]
    breakdown: Mapping[str, int]
    baseline: int
    holds: str = ""  # what of the model is on it, where that differs between ranks


@dataclass(frozen=True, slots=True)
class Ranked:
    """What `graphmem.train_ranks` returns: peaks are tensor-level, as those of `train`."""

    parallel: Parallel
    settings: TrainingOptions
    ranks: tuple[Rank, ...]
    communication: tuple[Collective, ...]
    notes: tuple[str, ...]
    issues: tuple[Issue, ...]
    name: str = ""
    single_peak: int = 0  # of `train` with the same batch on one device

    @property
    def peak(self) -> int:
        """Bytes of the rank that needs most."""
        return max(rank.peak for rank in self.ranks)

    @property
    def sent(self) -> int:
        """Bytes that all ranks together send in a step."""
        return sum(c.sent for c in self.communication)

    @property
    def exactness(self) -> Effect:
        """How to read every peak: exact, at most, or at least."""
        return exactness_of(self.issues)
