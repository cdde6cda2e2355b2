"""What happens to the model's output before the backward pass: loss heads as users write them.

LOSSES: name -> function of (machine, outputs) that returns the scalar loss. Targets exist before the step, beside the
inputs: class numbers are int64, one per row of logits; regression and binary targets have the type of the output.
"""

from __future__ import annotations

from collections.abc import Callable

from graphmem.autograd import ops
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import RULES
from graphmem.autograd.tensor import Tensor
from graphmem.ir.types import TensorType

Loss = Callable[[Machine, Tensor, Tensor], Tensor]


def _cross_entropy(m: Machine, logits: Tensor, target: Tensor) -> Tensor:
    """Class logits last, as [rows, classes] or [batch, steps, classes] (flattened), or second as in segmentation."""
    rule = RULES["aten.cross_entropy_loss"]
    if len(logits.shape) != 3:
        return rule(m, logits, target)  # type: ignore[no-any-return]
    rows = logits.elements // logits.shape[-1]
    flat = ops.reshape(m, logits, (rows, logits.shape[-1]))
    return rule(m, flat, ops.reshape(m, target, (rows,)))  # type: ignore[no-any-return]


def _plain(name: str) -> Loss:
    def run(m: Machine, out: Tensor, target: Tensor) -> Tensor:
        return RULES[name](m, out, target)  # type: ignore[no-any-return]

    return run


def _sum(m: Machine, out: Tensor, target: Tensor) -> Tensor:
    del target
    return RULES["aten.sum"](m, out)  # type: ignore[no-any-return]


def _mean(m: Machine, out: Tensor, target: Tensor) -> Tensor:
    del target
    return RULES["aten.mean"](m, out)  # type: ignore[no-any-return]


LOSSES: dict[str, Loss] = {
    "cross_entropy": _cross_entropy,
    "mse": _plain("aten.mse_loss"),
    "l1": _plain("aten.l1_loss"),
    "bce": _plain("aten.binary_cross_entropy_with_logits"),
    "sum": _sum,
    "mean": _mean,
    "none": _sum,
}


def target_type(loss: str, output: TensorType) -> TensorType | None:
    """Type of the target that goes with an output, or None when the loss takes none."""
    if loss in ("sum", "mean", "none"):
        return None
    if loss != "cross_entropy":
        return output
    shape = output.shape
    if len(shape) == 3:
        return TensorType("int64", shape[:-1])
    return TensorType("int64", (shape[0], *shape[2:]))
