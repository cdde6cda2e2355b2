"""An ATen call -> what it costs: FLOPs of products, bytes moved by everything else, in one unit.

The unit is the FLOP. A call that moves memory for longer than it computes counts FLOPS_PER_BYTE for each byte read or
written: the balance of a device, peak FLOP/s over bytes/s (A100 in float32: 19.5e12 / 2.0e12 = 10). A product is two
FLOPs a term; its backward is one product of the same size for each operand that needs a gradient.

    call                     FLOPs forward
    mm, addmm, bmm, mv       2 * result * inner dimension
    convolution              2 * result * weights of one output channel (transposed: 2 * input * those of an input one)
    attention                2 * (scores * width of q + scores * width of v)
    LSTM, GRU, RNN           2 * steps * batch * weights
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from graphmem.autograd.tensor import Node, Tensor

FLOPS_PER_BYTE = 10
Inputs = Sequence["Tensor | None"]


def _inner(inputs: Inputs, out: Tensor) -> int:
    """Of the last two operands: a bias may come first."""
    left = [t for t in inputs if t is not None][-2]
    return 2 * out.elements * left.shape[-1]


def _convolution(inputs: Inputs, out: Tensor) -> int:
    x, w = inputs[0], inputs[1]
    assert x is not None
    assert w is not None
    if w.shape[0] == out.shape[1]:
        return 2 * out.elements * prod(w.shape[1:])
    return 2 * x.elements * prod(w.shape[1:])


def _attention(inputs: Inputs, out: Tensor) -> int:
    q, k = inputs[0], inputs[1]
    assert q is not None
    assert k is not None
    return 2 * prod(q.shape[:-1]) * k.shape[-2] * (q.shape[-1] + out.shape[-1])


def _recurrent(inputs: Inputs, out: Tensor) -> int:
    weights = sum(t.elements for t in inputs if t is not None and t.node is None and len(t.shape) == 2)
    return 2 * prod(out.shape[:-1]) * weights


PRODUCTS: dict[str, tuple[Callable[[Inputs, Tensor], int], tuple[int, ...]]] = {
    "MmBackward0": (_inner, (0, 1)),
    "AddmmBackward0": (_inner, (1, 2)),
    "BmmBackward0": (_inner, (0, 1)),
    "BaddbmmBackward0": (_inner, (1, 2)),
    "MvBackward0": (_inner, (0, 1)),
    "DotBackward0": (_inner, (0, 1)),
    "ConvolutionBackward0": (_convolution, (0, 1)),
    "ScaledDotProductFlashAttentionForCpuBackward0": (_attention, (0, 1, 2)),
    "MkldnnRnnLayerBackward0": (_recurrent, (0, 1)),
    "CudnnRnnBackward0": (_recurrent, (0, 1)),
}
GATHERS = ("EmbeddingBackward0", "IndexBackward0", "IndexSelectBackward0", "GatherBackward0")  # read what they write
VIEWS = (
    "ViewBackward0", "UnsafeViewBackward0", "AliasBackward0", "PermuteBackward0", "ExpandBackward0", "SliceBackward0",
    "SelectBackward0", "SqueezeBackward1", "UnsqueezeBackward0", "UnbindBackward0", "SplitBackward0",
    "UnsafeSplitBackward0", "SplitWithSizesBackward0", "UnfoldBackward0",
)  # fmt: skip


def forward_cost(name: str, inputs: Inputs, outputs: Sequence[Tensor]) -> int:
    """Of the forward call that records the backward function `name`."""
    given = [t for t in inputs if t is not None]
    taken = {id(t.storage) for t in given}
    if name in VIEWS or (not outputs):
        return 0
    fresh = sum(t.nbytes for t in outputs if id(t.storage) not in taken)
    moved = 2 * fresh if name in GATHERS else fresh + sum(t.nbytes for t in given)
    if not fresh:  # in place: written where it was read
        moved += outputs[0].nbytes
    if name in PRODUCTS:
        return max(PRODUCTS[name][0](inputs, outputs[0]), FLOPS_PER_BYTE * moved)
    return FLOPS_PER_BYTE * moved


def backward_cost(node: Node, forward_flops: int, moved: int) -> int:
    """Of the backward function: products again where the forward was one, else `moved` bytes of what it touches."""
    if node.name in VIEWS:
        return 0
    if node.name in PRODUCTS:
        operands = sum(node.needs(i) for i in PRODUCTS[node.name][1] if i < len(node.edges))
        return max(forward_flops * operands, FLOPS_PER_BYTE * moved)
    return FLOPS_PER_BYTE * moved
