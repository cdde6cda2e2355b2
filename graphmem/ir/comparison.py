"""Comparison: two analyses side by side, only what moved."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """Bytes of one thing before and after, in all and at the peak; None where it did not exist."""

    name: str
    old: int | None
    new: int | None
    old_at_peak: int | None
    new_at_peak: int | None

    @property
    def delta(self) -> int:
        """Bytes more in all."""
        return (self.new or 0) - (self.old or 0)

    @property
    def delta_at_peak(self) -> int:
        """Bytes more at the peak."""
        return (self.new_at_peak or 0) - (self.old_at_peak or 0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`figures` are the headline ones, all of them; of modules and tensors only those that differ, greatest first."""

    old: str
    new: str
    figures: tuple[Change, ...]
    modules: tuple[Change, ...]
    tensors: tuple[Change, ...]

    @property
    def is_empty(self) -> bool:
        """True when nothing moved."""
        return not self.modules and not self.tensors and not any(change.delta for change in self.figures)
