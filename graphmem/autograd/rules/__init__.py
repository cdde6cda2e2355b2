"""ATen name -> its rule: the whole table, filled by the families named here."""

from __future__ import annotations

from graphmem.autograd.registry import RULES, Rule
from graphmem.autograd.rules import (  # noqa: F401 - each fills its part of the table
    attention,
    cells,
    conv,
    einsum,
    elementwise,
    in_place,
    index,
    loss,
    norm,
    pairs,
    pieces,
    pool,
    products,
    recurrent,
    reduce,
    shape,
)

__all__ = ["RULES", "rule_of"]


def rule_of(target: str) -> Rule | None:
    """The rule of "aten.add.Tensor", or None when nobody wrote one."""
    parts = target.split(".")
    return RULES.get(target) or RULES.get(".".join(parts[:2]))
