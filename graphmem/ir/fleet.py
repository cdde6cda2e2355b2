"""SweepRecord: one model at one setting on one device, a row of a sweep's results; and how far a sweep is."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class SweepRecord:
    """One row. Sizes in bytes; None where there is no figure, or no device to hold it against.

    `peak_bytes` is what `graphmem analyze` (weights and activations) or `graphmem train` says; `needed_bytes` is what
    the device is held to: in training on a GPU what the caching allocator reserves, else the peak. `fits` is "yes",
    "no", "unknown" where a bound decides neither, or "" without a device. `seconds` is the figure's own time and its
    share of reading the file; the rows of all devices share one figure.
    """

    model: str
    hash: str
    mode: str
    batch: int | None
    precision: str
    optimizer: str
    accumulate: int | None
    checkpoint: str
    device: str
    peak_bytes: int | None
    needed_bytes: int | None
    usable_bytes: int | None
    headroom_bytes: int | None
    fits: str
    exactness: str
    complete: bool
    note: str
    error: str
    version: str
    seconds: float

    @property
    def setting(self) -> tuple[str, ...]:
        """What names the row within a results file: model and setting, not what came out."""
        return tuple(str(getattr(self, name)) for name in SETTING)

    @property
    def variant(self) -> str:
        """The setting but for batch and device, in words; what is not done is not said."""
        passes = f"accumulate {self.accumulate}" if (self.accumulate or 1) > 1 else ""
        kept = "" if self.checkpoint in ("", "none") else f"checkpoint {self.checkpoint}"
        return " ".join(part for part in (self.mode, self.precision, self.optimizer, passes, kept) if part)


# The columns that tell rows apart.
SETTING = ("model", "mode", "batch", "precision", "optimizer", "accumulate", "checkpoint", "device")
COLUMNS = tuple(field.name for field in fields(SweepRecord))


@dataclass(frozen=True, slots=True)
class SweepProgress:
    """How far a sweep is, in rows; `reused` rows took no work in this run, `elapsed` is in seconds."""

    rows: int
    done: int = 0
    failed: int = 0
    reused: int = 0
    elapsed: float = 0.0

    @property
    def rate(self) -> float:
        """Rows worked out per second in this run."""
        return (self.done - self.reused) / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds left at that rate, or None before there is one."""
        return (self.rows - self.done) / self.rate if self.rate > 0 else None


@dataclass(frozen=True, slots=True)
class DeviceShare:
    """How many rows fit a device."""

    device: str
    usable_bytes: int
    yes: int
    no: int
    unknown: int
    failed: int


@dataclass(frozen=True, slots=True)
class FitLine:
    """One model in one variant (mode, precision, optimizer, checkpoint) and what of it fits where.

    `largest` has per device, in the order of the overview's, the largest batch of the sweep that fits, or None; `of`
    how many of its rows fit, do not, and are undecided or failed. A batch of 0 stands for the file's own.
    """

    model: str
    variant: str
    peak_bytes: int | None
    largest: tuple[int | None, ...]
    of: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """An error and where it came up."""

    error: str
    rows: int
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row that is not as it was in an earlier results file. `what` is a key of CHANGES."""

    what: str
    now: SweepRecord | None
    then: SweepRecord | None

    @property
    def row(self) -> SweepRecord:
        """The row itself, or what it was where it is gone."""
        found = self.now or self.then
        assert found is not None
        return found

    @property
    def delta(self) -> int:
        """Bytes more at the peak than before; 0 where either has no figure."""
        if self.now is None or self.then is None or self.now.peak_bytes is None or self.then.peak_bytes is None:
            return 0
        return self.now.peak_bytes - self.then.peak_bytes


# What may have become of a row, the worst first.
CHANGES = {
    "fails": "had a figure and now fails",
    "no longer fits": "fitted its device and now does not, or no longer surely",
    "grew": "needs more than before",
    "proves less": "the same figure, of which less is known",
    "gone": "is not in this sweep",
    "shrank": "needs less than before",
    "now fits": "did not surely fit its device and now does",
    "mended": "failed and now has a figure",
    "proves more": "the same figure, of which more is known",
    "new": "was not in the earlier sweep",
}


@dataclass(frozen=True, slots=True)
class Overview:
    """A fleet at a glance.

    `greatest` is the row of greatest peak of the models that need most, `tightest` that of least headroom of those that
    miss their device by most; `changes` is None without a baseline.
    """

    models: int
    rows: int
    failed: int
    exactness: tuple[tuple[str, int], ...]
    devices: tuple[DeviceShare, ...]
    lines: tuple[FitLine, ...]
    greatest: tuple[SweepRecord, ...]
    tightest: tuple[SweepRecord, ...]
    failures: tuple[Failure, ...]
    changes: tuple[RowChange, ...] | None
