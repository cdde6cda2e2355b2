"""Slot, Cell, Figure -> SweepRecord: a figure held against the device of its cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphmem.fleet.axes import Cell, compared
from graphmem.fleet.figures import Figure
from graphmem.fleet.files import ModelFile
from graphmem.ir.fleet import SweepRecord
from graphmem.ir.version import __version__


@dataclass(frozen=True, slots=True)
class Slot:
    """The rows of one model at one batch, and the keys of the figures behind them; or why there are none."""

    file: ModelFile
    digest: str
    cells: Sequence[Cell]
    keys: Sequence[str]
    error: str = ""


def record_of(slot: Slot, cell: Cell, found: Figure) -> SweepRecord:
    """The row of a cell: its figure held against its device."""
    card = compared(cell["device"])
    usable = None if card is None else card.usable_bytes()
    headroom = None if usable is None or found.needed is None else usable - found.needed
    batch = cell["batch"]
    accumulate = cell["accumulate"] or None
    assert not isinstance(batch, str)
    assert not isinstance(accumulate, str)
    return SweepRecord(
        model=slot.file.name,
        hash=slot.digest,
        mode=str(cell["mode"]),
        batch=batch,
        precision=str(cell["precision"]),
        optimizer=str(cell["optimizer"]),
        accumulate=accumulate,
        checkpoint=str(cell["checkpoint"]),
        device=str(cell["device"]),
        peak_bytes=found.peak,
        needed_bytes=found.needed,
        usable_bytes=usable,
        headroom_bytes=headroom,
        fits=proved(headroom, found.exactness),
        exactness=found.exactness,
        complete=found.exactness == "exact",
        note=found.note,
        error=found.error,
        version=__version__,
        seconds=found.seconds,
    )


def proved(headroom: int | None, exactness: str) -> str:
    """What a figure with that bound proves."""
    if headroom is None:
        return ""
    if headroom >= 0:
        return "unknown" if exactness == "at least" else "yes"
    return "unknown" if exactness == "at most" else "no"
