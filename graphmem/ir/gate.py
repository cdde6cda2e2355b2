"""Gate: a limit on one figure of one model, and whether it holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gate:
    """`figure` bytes against `limit` bytes; `name` is the option that set it, such as "max-peak".

    A figure that is only a lower bound (`is_proved` False) never passes: what is missing might break the limit.
    """

    model: str
    name: str
    what: str
    figure: int
    limit: int
    is_proved: bool = True
    where: str = ""

    @property
    def passes(self) -> bool:
        """True when the figure is proved to be within the limit."""
        return self.is_proved and self.figure <= self.limit
