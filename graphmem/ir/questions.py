"""Question: what a file does not tell about a training step, with the peak that each answer gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Alternative:
    """One answer to a question and the peak of the step under it, in bytes, all other questions left as they are."""

    answer: str
    peak: int


@dataclass(frozen=True, slots=True)
class Question:
    """`where` are the places that it is about, `evidence` why it is asked, `option` what answers it."""

    what: str
    where: tuple[str, ...]
    evidence: str
    alternatives: tuple[Alternative, ...]
    option: str

    @property
    def nbytes(self) -> int:
        """How far apart the answers are."""
        peaks = [alternative.peak for alternative in self.alternatives]
        return max(peaks) - min(peaks)


@dataclass(frozen=True, slots=True)
class Interval:
    """The least and the greatest peak among all answers that were simulated, and the questions, most bytes first.

    `worst` are the options of a training step under which the peak is `most`.
    """

    least: int
    most: int
    questions: tuple[Question, ...] = ()
    worst: Mapping[str, Any] = field(default_factory=dict)
