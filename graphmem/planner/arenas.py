"""Lifetimes, on-chip capacity -> two plans: what stays on the chip, and what spills to DRAM so that few bytes move.

Choosing what to spill is a covering problem: in every step the spilled buffers must cover the excess over the capacity,
at least cost. Greedy covering by excess relieved per byte moved (the logarithmic guarantee of Chvatal, 1979, for such
problems), then whatever is no longer needed returns, costliest first. If the rest still does not pack below the
capacity, the cheapest buffer that ends above it spills too, and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from graphmem.ir.errors import OptionError
from graphmem.ir.memory import IntColumn, Lifetimes, Plan
from graphmem.planner.plan import DEFAULTS, Options, plan
from graphmem.planner.problem import compressed

Chosen: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Split:
    """A plan for each memory; spilling moves `moved` bytes, and no split of this capacity fewer than `moved_bound`."""

    on_chip: Plan
    dram: Plan
    moved: int
    moved_bound: int


@dataclass(frozen=True, slots=True)
class _Load:
    """Aligned sizes over sections of time, and the bytes that spilling each row moves."""

    start: IntColumn
    stop: IntColumn
    size: IntColumn
    traffic: IntColumn
    excess: IntColumn = field(repr=False)


def split(
    lifetimes: Lifetimes, on_chip_bytes: int, traffic: Mapping[str, int] | None = None, options: Options = DEFAULTS
) -> Split:
    """Two plans; spilling a buffer moves `traffic` bytes, by default its size twice: out once and in once."""
    if on_chip_bytes < 0:
        raise OptionError(f"an on-chip memory of {on_chip_bytes} bytes is negative; give its size")
    moved = np.array([(traffic or {}).get(life.buffer, 2 * life.nbytes) for life in lifetimes], dtype=np.int64)
    load = _load(lifetimes, moved, on_chip_bytes, options.alignment)
    spilled = _returned(load, _cover(load))
    while True:
        on_chip = plan(_rows(lifetimes, ~spilled), _restricted(options, lifetimes, ~spilled, on_chip_bytes))
        if on_chip.arena <= on_chip_bytes:
            break
        above = np.zeros(len(lifetimes), dtype=bool)
        above[np.flatnonzero(~spilled)] = [p.offset + p.lifetime.nbytes > on_chip_bytes for p in on_chip.placements]
        candidates = np.flatnonzero(above)
        spilled[candidates[np.lexsort((candidates, moved[candidates]))[0]]] = True
    dram = plan(_rows(lifetimes, spilled), _restricted(options, lifetimes, spilled, None))
    return Split(on_chip, dram, int(moved[spilled].sum()), _moved_bound(load))


def _load(lifetimes: Lifetimes, traffic: IntColumn, capacity: int, alignment: int) -> _Load:
    size = -(-lifetimes.nbytes // alignment) * alignment
    alive = lifetimes.start < lifetimes.stop
    size = np.where(alive, size, 0)
    start, stop, sections = compressed(lifetimes.start, np.maximum(lifetimes.stop, lifetimes.start + 1))
    change = np.zeros(sections + 1, dtype=np.int64)
    np.add.at(change, start, size)
    np.add.at(change, stop, -size)
    return _Load(start, stop, size, traffic, np.cumsum(change)[:sections] - capacity // alignment * alignment)


def _cover(load: _Load) -> Chosen:
    """Rows to spill until no section is in excess; each time the one that relieves most per byte moved."""
    excess, spilled = load.excess.copy(), np.zeros(load.size.size, dtype=bool)
    while (excess > 0).any():
        peak = int(excess.argmax())
        rows = np.flatnonzero(~spilled & (load.start <= peak) & (load.stop > peak) & (load.size > 0))
        relief = [int(np.clip(excess[load.start[i] : load.stop[i]], 0, load.size[i]).sum()) for i in rows]
        worth = [relieved / max(int(load.traffic[i]), 1) for relieved, i in zip(relief, rows, strict=True)]
        row = int(rows[int(np.argmax(worth))])
        spilled[row] = True
        excess[load.start[row] : load.stop[row]] -= load.size[row]
    return spilled


def _returned(load: _Load, spilled: Chosen) -> Chosen:
    """The spilled rows without those that fit again, costliest first."""
    excess = load.excess.copy()
    kept: Chosen = spilled.copy()
    for row in np.flatnonzero(spilled):
        excess[load.start[row] : load.stop[row]] -= load.size[row]
    rows = np.flatnonzero(spilled)
    for row in rows[np.lexsort((rows, -load.traffic[rows]))]:
        life = slice(load.start[row], load.stop[row])
        if (excess[life] + load.size[row] <= 0).all():
            excess[life] += load.size[row]
            kept[row] = False
    return kept


def _moved_bound(load: _Load) -> int:
    """The cheapest fractional relief of the worst section alone: cheapest bytes first (Dantzig's knapsack bound)."""
    if not load.excess.size or load.excess.max() <= 0:
        return 0
    peak = int(load.excess.argmax())
    rows = np.flatnonzero((load.start <= peak) & (load.stop > peak) & (load.size > 0))
    rows = rows[np.argsort(load.traffic[rows] / load.size[rows], kind="stable")]
    missing, bound = int(load.excess[peak]), 0
    for row in rows.tolist():
        taken = min(missing, int(load.size[row]))
        bound += int(load.traffic[row]) * taken // int(load.size[row])
        missing -= taken
    return bound


def _rows(lifetimes: Lifetimes, chosen: Chosen) -> Lifetimes:
    names = tuple(name for name, keep in zip(lifetimes.buffers, chosen.tolist(), strict=True) if keep)
    return Lifetimes(names, lifetimes.nbytes[chosen], lifetimes.start[chosen], lifetimes.stop[chosen])


def _restricted(
    options: Options,
    lifetimes: Lifetimes,
    chosen: Chosen,
    capacity: int | None,
) -> Options:
    """The options that concern the chosen rows."""
    names = {name for name, keep in zip(lifetimes.buffers, chosen.tolist(), strict=True) if keep}
    return replace(
        options,
        capacity=capacity,
        alignments={name: value for name, value in options.alignments.items() if name in names},
        fixed={name: value for name, value in options.fixed.items() if name in names},
        in_place=tuple(pair for pair in options.in_place if names.issuperset(pair)),
    )
