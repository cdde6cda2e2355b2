"""Loss functions, as rules so that a graph that contains its loss works as well.

What happens to the model's output before the backward pass: loss heads as users write them.

LOSSES: name -> function of (machine, output, target, options of the step) that returns the scalar loss. Targets exist
before the step, beside the inputs: class numbers are int64, one per row of logits; regression and binary targets have
the type of the output.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphmem.autograd import ops
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import RULES, rule
from graphmem.autograd.rules import reduce
from graphmem.autograd.tensor import Node, Tensor
from graphmem.ir.errors import OptionError
from graphmem.ir.options import TrainingOptions
from graphmem.ir.types import TensorType

assert reduce


@rule("aten.nll_loss", "aten.nll_loss_forward", "aten.nll_loss2d")
def nll_loss(m: Machine, logs: Tensor, target: Tensor, *_: Any) -> Tensor:
    """Saves the log-probabilities, the target and the total weight."""
    out, total = m.empty((), logs.dtype), m.empty((), logs.dtype)
    shape = logs.shape
    m.record(
        "NllLossBackward0", [logs], [out], lambda m, _n, g: ops.full(m, "aten::nll_loss_backward", shape, g.dtype),
        [logs, target, total],
    )  # fmt: skip
    return out


@rule("aten.cross_entropy_loss")
def cross_entropy(
    m: Machine, logits: Tensor, target: Tensor, _weight: Tensor | None = None, _reduction: int = 1,
    _ignored: int = -100, label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """Log-softmax, then the negative log-likelihood: two more tensors of the size of the logits in the backward.

    With smoothing the log-probabilities have a second reader (cross_entropy_loss_label_smoothing in
    aten/src/ATen/native/LossNLL.cpp, statement by statement). Its gradient is one number a row, expanded, so the sum of
    both is a new tensor; the first is gone before log-softmax makes its own.
    """
    logs = RULES["aten.log_softmax"](m, logits, 1)
    loss = nll_loss(m, logs, target)
    if not label_smoothing:
        return loss
    total = RULES["aten.sum"](m, logs, 1)
    smooth = RULES["aten.neg"](m, total)
    m.drop(total)
    ignored = RULES["aten.eq"](m, target, -100)
    filled = m.alias(smooth, smooth.shape, smooth.strides)
    m.record(
        "MaskedFillBackward0", [smooth], [filled],
        lambda m, _n, g: ops.pointwise(m, "aten::masked_fill", g, ignored, dtype=g.dtype), [ignored],
    )  # fmt: skip
    count = RULES["aten.sum"](m, RULES["aten.bitwise_not"](m, ignored))
    average = RULES["aten.div"](m, RULES["aten.sum"](m, filled), count)
    share = _scaled(m, average)  # the right operand of the sum is evaluated first
    return RULES["aten.add"](m, _scaled(m, loss), share)  # type: ignore[no-any-return]


def _scaled(m: Machine, x: Tensor) -> Tensor:
    """A product with a number in C++, which the node keeps as a number."""
    out = ops.pointwise(m, "aten::mul", x)
    m.record("MulBackward1", [x], [out], lambda m, _n, g: ops.pointwise(m, "aten::mul", g))
    return out


def _elementwise_loss(name: str, title: str, keeps: str, formula: str) -> None:
    """A mean over elements.

    `keeps` is "result" when the scalar keeps the storage of all losses, "saved" when the backward keeps the
    differences instead of both sides; `formula` is what the backward makes, each of the size of x, the last the
    gradient.
    """

    def run(m: Machine, x: Tensor, target: Tensor, *_: Any) -> Tensor:
        whole = [ops.pointwise(m, f"aten::{name}", x, target)] if keeps else []
        out = m.alias(whole[0], (), ()) if keeps == "result" else m.empty((), x.dtype)

        def back(m: Machine, _n: Node, _g: Tensor) -> Tensor:
            made = x
            for operator in formula.split():
                made = ops.like(m, f"aten::{operator}", x)
            return made

        m.record(title, [x], [out], back, whole if keeps == "saved" else [x, target])
        return out

    rule(f"aten.{name}")(run)


for _row in (
    ("mse_loss", "MseLossBackward0", "result", "mse_loss_backward"),
    ("l1_loss", "AbsBackward0", "saved", "div sgn mul"),
    ("smooth_l1_loss", "SmoothL1LossBackward0", "result", "smooth_l1_loss_backward"),
    ("huber_loss", "HuberLossBackward0", "", "huber_loss_backward"),
    ("binary_cross_entropy", "BinaryCrossEntropyBackward0", "result", "binary_cross_entropy_backward"),
    ("binary_cross_entropy_with_logits", "BinaryCrossEntropyWithLogitsBackward0", "", "sigmoid"),
    ("kl_div", "MulBackward0", "", "div neg mul"),
):
    _elementwise_loss(*_row)


Loss = Callable[[Machine, Tensor, Tensor, TrainingOptions], Tensor]


def _cross_entropy(m: Machine, logits: Tensor, target: Tensor, step: TrainingOptions) -> Tensor:
    """Class logits last, as [rows, classes] or [batch, steps, classes] (flattened), or second as in segmentation."""
    rule = RULES["aten.cross_entropy_loss"]
    if len(logits.shape) != 3:
        return rule(m, logits, target, label_smoothing=step.label_smoothing)  # type: ignore[no-any-return]
    rows = logits.elements // logits.shape[-1]
    flat = ops.reshape(m, logits, (rows, logits.shape[-1]))
    return rule(  # type: ignore[no-any-return]
        m, flat, ops.reshape(m, target, (rows,)), label_smoothing=step.label_smoothing
    )


def _plain(name: str) -> Loss:
    def run(m: Machine, out: Tensor, target: Tensor, _: TrainingOptions) -> Tensor:
        return RULES[name](m, out, target)  # type: ignore[no-any-return]

    return run


def _sum(m: Machine, out: Tensor, *_: Any) -> Tensor:
    return RULES["aten.sum"](m, out)  # type: ignore[no-any-return]


def _mean(m: Machine, out: Tensor, *_: Any) -> Tensor:
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
    """Type of the target that goes with an output, or None when the loss takes none.

    Raises OptionError when the output does not fit the loss.
    """
    if loss in ("sum", "mean", "none"):
        return None
    if loss != "cross_entropy":
        return output
    shape = output.shape
    if len(shape) < 2:
        raise OptionError(
            f"the model's first float output, {list(shape)}, holds no classes for cross_entropy: give --loss mean, or "
            "another that fits it"
        )
    if len(shape) == 3:
        return TensorType("int64", shape[:-1])
    return TensorType("int64", (shape[0], *shape[2:]))
