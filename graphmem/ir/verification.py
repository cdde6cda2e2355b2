"""Verification: what was predicted of real runs, and what they did."""

from __future__ import annotations

from dataclasses import dataclass

from graphmem.ir.graph import Issue
from graphmem.ir.runtime import SessionOptions


@dataclass(frozen=True, slots=True)
class Parting:
    """Where prediction and run part: the step, its node, and in words what was expected and what happened."""

    step: int
    node: str
    operator: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Trial:
    """One figure of one set of options: predicted and measured bytes, and where they part if they do."""

    label: str
    options: SessionOptions
    predicted: int
    measured: int
    parting: Parting | None = None

    @property
    def error(self) -> float:
        """How far the prediction is off, as a fraction of what was measured."""
        return (self.predicted - self.measured) / self.measured if self.measured else float(self.predicted > 0)


@dataclass(frozen=True, slots=True)
class Verification:
    """What `graphmem verify` found out; `method` says how it measured, `blind` what that cannot see."""

    model: str
    version: str
    method: str
    blind: str
    trials: tuple[Trial, ...]
    issues: tuple[Issue, ...] = ()

    @property
    def agrees(self) -> bool:
        """True when every figure was predicted to the byte."""
        return all(trial.predicted == trial.measured for trial in self.trials)
