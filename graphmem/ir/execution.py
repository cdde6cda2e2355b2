"""Execution: what came of running a model inside the arena of its plan."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """A tensor whose bytes are not those of an ordinary run, and the first step that shows it."""

    step: int
    node: str
    operator: str
    tensor: str


@dataclass(frozen=True, slots=True)
class Execution:
    """A run of every step in one arena of `arena` bytes, compared with an ordinary run of the same model.

    bound      tensors that kernels wrote straight into the arena
    copied     tensors copied there after their step, because only the data decides their shape
    outside    values that no arena holds: sequences and optionals
    compared   outputs of the model that were compared, all their bytes
    filled     bytes of weights that the file does not hold and that were made up for both runs
    """

    steps: int
    arena: int
    bound: int
    copied: tuple[str, ...]
    outside: tuple[str, ...]
    compared: int
    filled: int
    guards_intact: bool
    difference: Difference | None

    @property
    def is_faithful(self) -> bool:
        """True when the outputs are equal bit for bit and no byte outside the arena was written."""
        return self.guards_intact and self.difference is None
