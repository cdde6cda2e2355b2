"""Two analyses -> Comparison: what moved, by module and by tensor; both are matched by name."""

from __future__ import annotations

from graphmem.ir.analysis import Analysis
from graphmem.ir.comparison import Change, Comparison
from graphmem.memory.profile import inference_profile

Pair = tuple[int, int]  # bytes in all, bytes at the peak


def compare(old: Analysis, new: Analysis) -> Comparison:
    """The figures of both, and every module and tensor whose bytes differ, in all or at the peak."""
    figures = (
        _figure("peak with weights", old.peak_with_weights, new.peak_with_weights),
        _figure("weights", old.model.weight_bytes, new.model.weight_bytes),
        _figure("activation peak", old.inference.peak, new.inference.peak),
        _figure("all activations", old.inference.total_bytes, new.inference.total_bytes),
    )
    before, after = inference_profile(old), inference_profile(new)
    modules = _changes(
        {scope.path or "(whole model)": (scope.made, scope.at_peak) for scope in before.scopes},
        {scope.path or "(whole model)": (scope.made, scope.at_peak) for scope in after.scopes},
    )
    at_peak_before, at_peak_after = set(before.rows_at_peak), set(after.rows_at_peak)
    tensors = _changes(
        {t.tensor: (t.nbytes, t.nbytes * (row in at_peak_before)) for row, t in enumerate(before.tensors)},
        {t.tensor: (t.nbytes, t.nbytes * (row in at_peak_after)) for row, t in enumerate(after.tensors)},
    )
    return Comparison(old.model.name, new.model.name, figures, modules, tensors)


def _figure(name: str, old: int, new: int) -> Change:
    return Change(name, old, new, None, None)


def _changes(old: dict[str, Pair], new: dict[str, Pair]) -> tuple[Change, ...]:
    found = []
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        if before != after:
            was, now = before or (None, None), after or (None, None)
            found.append(Change(name, was[0], now[0], was[1], now[1]))
    return tuple(sorted(found, key=lambda c: (-abs(c.delta_at_peak), -abs(c.delta), c.name)))
