"""Replay: the allocations of a run at addresses, as an allocator served them, for viewers of memory snapshots."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Served:
    """One event, in order. `row` is a buffer of the run, or None with `what` for other memory; `nbytes` of a release 0.

    A segment event says that the allocator itself took `nbytes` from the device at `address`.
    """

    step: int
    row: int | None
    address: int
    nbytes: int
    is_segment: bool = False
    what: str = ""


@dataclass(frozen=True, slots=True)
class Replay:
    """Events, the segments as (address, bytes), and what is left at the end as (address, bytes, row or None)."""

    events: tuple[Served, ...]
    segments: tuple[tuple[int, int], ...]
    left: tuple[tuple[int, int, int | None], ...]

    @property
    def reserved(self) -> int:
        """Bytes of all segments."""
        return sum(nbytes for _, nbytes in self.segments)
