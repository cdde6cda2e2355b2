"""The rules, one family a file; importing this fills the table."""

from __future__ import annotations

from graphmem.autograd.rules import (
    attention,
    conv,
    create,
    einsum,
    elementwise,
    index,
    loss,
    matmul,
    norm,
    pool,
    recurrent,
    reduce,
    shape,
)

__all__ = [
    "attention", "conv", "create", "einsum", "elementwise", "index", "loss", "matmul", "norm", "pool", "recurrent",
    "reduce", "shape",
]  # fmt: skip
