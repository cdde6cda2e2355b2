"""Two analyses, or two training steps -> Comparison: what moved, by module and by tensor; both are matched by name."""

from __future__ import annotations

from graphmem.ir.analysis import Analysis
from graphmem.ir.comparison import Change, Comparison
from graphmem.ir.profile import Profile
from graphmem.ir.training import BREAKDOWN, PHASES, Training
from graphmem.memory.profile import inference_profile
from graphmem.memory.training_profile import training_profile

Pair = tuple[int, int]  # bytes in all, bytes at the peak


def compare(old: Analysis, new: Analysis) -> Comparison:
    """The figures of both, and every module and tensor whose bytes differ, in all or at the peak."""
    figures = (
        _figure("peak with weights", old.peak_with_weights, new.peak_with_weights),
        _figure("weights", old.model.weight_bytes, new.model.weight_bytes),
        _figure("activation peak", old.inference.peak, new.inference.peak),
        _figure("all activations", old.inference.total_bytes, new.inference.total_bytes),
    )
    return _compared(old.model.name, new.model.name, figures, inference_profile(old), inference_profile(new))


def compare_training(old: Training, new: Training) -> Comparison:
    """The same of two training steps; what has no name of its own is one thing for each operator and module."""
    phases = tuple(_figure(f"{name} peak", old.phase_peaks[name], new.phase_peaks[name]) for name in PHASES)
    parts = tuple(
        _figure(f"{name.replace('_', ' ')} at the peak", old.breakdown[name], new.breakdown[name]) for name in BREAKDOWN
    )
    figures = (
        _figure("training peak", old.peak, new.peak),
        *phases,
        _figure("saved activations", old.saved_bytes, new.saved_bytes),
        *parts,
    )
    return _compared(old.model.name, new.model.name, figures, training_profile(old), training_profile(new))


def _compared(old: str, new: str, figures: tuple[Change, ...], before: Profile, after: Profile) -> Comparison:
    modules = _changes(
        {scope.path or "(whole model)": (scope.made, scope.at_peak) for scope in before.scopes},
        {scope.path or "(whole model)": (scope.made, scope.at_peak) for scope in after.scopes},
    )
    return Comparison(old, new, figures, modules, _changes(_by_name(before), _by_name(after)))


def _by_name(profile: Profile) -> dict[str, Pair]:
    """Bytes by tensor name; those that share a name, as the runs of a repeated step do, add up."""
    at_peak = set(profile.rows_at_peak)
    found: dict[str, Pair] = {}
    for row, tensor in enumerate(profile.tensors):
        name = tensor.tensor
        if profile.homes and name == f"{profile.schedule.buffers[row].kind}:{row}":
            name = f"{tensor.kind} of {tensor.producer}" + (f" in {tensor.origin.scope}" if tensor.origin.scope else "")
        whole, alive = found.get(name, (0, 0))
        found[name] = whole + tensor.nbytes, alive + tensor.nbytes * (row in at_peak)
    return found


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
