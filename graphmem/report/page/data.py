"""Profile -> the document inside the page: columns, with every repeated text written once.

10,000 operations must stay near a megabyte, so rising columns are written as differences, columns that repeat as
[value, count, ...], and a buffer's bytes with its type. `page/data.js` is the other end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from graphmem.ir.profile import Profile
from graphmem.ir.types import BoundedType, TensorType, Type, UnknownType
from graphmem.report.drawing.svg import HEAT
from graphmem.report.units import shape

# Kinds of buffers that no step makes: they are there when the run starts.
GIVEN = ("input", "parameter", "optimizer_state", "buffer", "constant")
SAVED = "saved activation"
INFERENCE_METRICS = (("made", "made in all"), ("peak", "alive at the peak"), ("weights", "weights"))
TRAINING_METRICS = (
    ("peak", "alive at the peak"),
    ("saved", "saved activations"),
    ("weights", "parameters, gradients, optimizer state"),
    ("made", "made in all"),
)


class _Table:
    """Distinct values in the order of their first use, each known by its number."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}

    def __call__(self, value: Any) -> int:
        return self.numbers.setdefault(value, len(self.numbers))

    @property
    def values(self) -> list[Any]:
        return list(self.numbers)

    def spread(self, numbers: Iterable[int]) -> list[Any]:
        """The values with these numbers."""
        values = self.values
        return [values[number] for number in numbers]


def page_document(profile: Profile, sign: str, device: int | None) -> dict[str, Any]:
    """All that the page's script needs of one run."""
    kinds, operators, phases, sources, types, modules, endings = (_Table() for _ in range(7))
    schedule, alive = profile.schedule, profile.lifetimes
    offsets = profile.offsets
    saved = sum(row.kind == SAVED for row in profile.tensors)
    step_names = _Table()
    named = [step_names(step.name) for step in schedule.steps]
    is_repeated = 2 * len(step_names.values) < len(named)  # as in a training step, whose names are those of modules
    return {
        "name": profile.name,
        "sign": sign,
        "device": device,
        "peak": profile.timeline.peak,
        "peakStep": profile.timeline.peak_step,
        "standing": profile.standing,
        "heat": HEAT,
        "given": GIVEN,
        "plan": None if profile.plan is None else {"arena": profile.plan.arena},
        "step": {
            "name": _column(named) if is_repeated else step_names.spread(named),
            "op": _column(operators(step.operator) for step in schedule.steps),
            "phase": _runs(phases(step.phase) for step in schedule.steps),
            "scope": _runs(profile.step_scopes),
            "source": _runs(sources(origin.source) for origin in profile.origins),
        },
        "tensor": {
            "name": _names(profile, endings),
            "type": _column(types((typed(row.type), row.nbytes)) for row in profile.tensors),
            "kind": _runs(kinds(row.kind) for row in profile.tensors),
            "start": _differences(alive.start),
            "life": _column((alive.stop - alive.start).tolist()),
            "at": None if offsets is None else list(offsets),
            "home": _runs(profile.homes) if profile.homes else None,
        },
        "endings": endings.values,
        "names": step_names.values if is_repeated else None,
        "saved": saved,
        "metrics": TRAINING_METRICS if profile.homes else INFERENCE_METRICS,
        "beside": [[band.kind, _differences(band.live)] for band in profile.beside],
        "bands": [[band.kind, _differences(band.live)] for band in profile.bands],
        "blocks": [[block.start, block.stop, block.peak] for block in profile.blocks],
        "scopes": [
            [s.path.rpartition(".")[2], s.parent, modules(s.module), s.steps, s.weights, s.made, s.at_peak, s.saved]
            for s in profile.scopes
        ],
        "kinds": kinds.values,
        "ops": operators.values,
        "phases": phases.values,
        "sources": sources.values,
        "types": types.values,
        "modules": modules.values,
    }


def _names(profile: Profile, endings: _Table) -> list[str | list[int]]:
    """The tensors' names; [row, ending] for one that goes on from another's, as "w.grad" from "w"; "" for a number."""
    rows: dict[str, int] = {}
    names: list[str | list[int]] = []
    for row, tensor in enumerate(profile.tensors):
        base, dot, ending = tensor.tensor.rpartition(".")
        if tensor.tensor == f"{tensor.kind}:{row}":
            names.append("")
        elif dot and base in rows:
            names.append([rows[base], endings(ending)])
        else:
            names.append(tensor.tensor)
            rows.setdefault(tensor.tensor, row)
    return names


def typed(type_: Type) -> str:
    """Element type and shape: "float32 1×64×56×56"."""
    if isinstance(type_, UnknownType) and type_.dims is None:
        return type_.dtype or ""
    if isinstance(type_, TensorType | BoundedType | UnknownType):
        return f"{type_.dtype or '?'} {shape(type_)}"
    return str(type_)


def _runs(values: Iterable[int]) -> list[int]:
    """[value, count, value, count, ...]."""
    found: list[int] = []
    for value in values:
        if found and found[-2] == value:
            found[-1] += 1
        else:
            found += [value, 1]
    return found


def _column(values: Iterable[int]) -> list[int] | dict[str, list[int]]:
    """The values, or {"r": runs} where that is shorter."""
    listed = list(values)
    runs = _runs(listed)
    return {"r": runs} if len(runs) < len(listed) else listed


def _differences(column: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[int] | dict[str, list[int]]:
    """Each entry less the one before it, the first as it is."""
    listed: list[int] = np.diff(column, prepend=0).tolist()
    return _column(listed)
