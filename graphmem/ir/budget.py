"""Budget: the work and the memory that one file may cause beyond its own size; every walk it can repeat draws on it.

A step is about a microsecond, an amount that counts and never a clock: the same file gets the same answer everywhere.
Who is refused leaves the fact open (an Issue says so), so that a new walk is bounded as soon as it asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# What a file may cause beyond its own size: seconds of walking, and the bytes of values computed on the way.
STEPS = 6_000_000
NBYTES = 1 << 28
# Steps to walk one node of a body, with its types; and one tensor that is only declared.
NODE, TENSOR = 100, 20


class SpentError(Exception):
    """What a walk would take is not left; who catches it says what stays open."""


@dataclass(slots=True)
class Budget:
    """What is left, and how many attempts are under way."""

    steps: int = STEPS
    nbytes: int = NBYTES
    attempts: int = 0

    def take(self, steps: int) -> bool:
        """Draw `steps`; False, and nothing drawn, where they are not left."""
        if steps > self.steps:
            return False
        self.steps -= steps
        return True

    def draw(self, steps: int) -> None:
        """The same for what must be done at once or not at all; SpentError where they are not left."""
        if not self.take(steps):
            raise SpentError

    def keep(self, nbytes: int) -> bool:
        """Draw the bytes of a value that will be kept; False, and nothing drawn, where they are not left."""
        if nbytes > self.nbytes:
            return False
        self.nbytes -= nbytes
        return True

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Within, half of the steps are left: an attempt that fails leaves the other half to what is done instead."""
        saved = self.steps - self.steps // 2
        self.steps -= saved
        self.attempts += 1
        try:
            yield
        finally:
            self.steps += saved
            self.attempts -= 1
