"""Einstein summation, as torch computes it: pairs from left to right, each one product of matrices or of elements.

Source: aten/src/ATen/native/Linear.cpp (einsum, sumproduct_pair), torch 2.13, without opt_einsum.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from graphmem.autograd import ops
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import rule
from graphmem.autograd.rules.pairs import mul
from graphmem.autograd.rules.products import bmm
from graphmem.autograd.rules.reduce import sum_
from graphmem.autograd.tensor import Tensor

_SPARE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@rule("aten.einsum")
def einsum(m: Machine, equation: str, operands: Sequence[Tensor], **_: Any) -> Tensor:
    """Each pair is permuted and flattened to one bmm over the labels that end with it, or multiplied when none does.

    Operands are first brought into one order: the labels of the result, then the others as in the alphabet.
    """
    given, result = _labels(equation, [len(t.shape) for t in operands])
    order = result + "".join(sorted(set("".join(given)) - set(result)))
    terms = ["".join(sorted(term, key=order.index)) for term in given]
    places = [[own.index(c) for c in term] for own, term in zip(given, terms, strict=True)]
    operands = [
        ops.permute(m, t, place) if place != sorted(place) else t for t, place in zip(operands, places, strict=True)
    ]
    x, labels = operands[0], terms[0]
    for i in range(1, len(operands)):
        later = result + "".join(terms[i + 1 :])
        x, labels = _pair(m, x, labels, operands[i], terms[i], later)
    gone = [d for d, label in enumerate(labels) if label not in result]
    if gone:
        x, labels = sum_(m, x, gone), "".join(c for c in labels if c in result)
    return ops.permute(m, x, [labels.index(c) for c in result])


def _labels(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The labels of each operand and of the result, dots written out as labels of their own."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    spare = "".join(c for c in _SPARE if c not in equation)
    terms, widest = [], 0
    for term, rank in zip(left.split(","), ranks, strict=True):
        dots = rank - len(term.replace("...", "")) if "..." in term else 0
        widest = max(widest, dots)
        terms.append(term.replace("...", spare[8 - dots : 8]))
    if not arrow:
        seen = "".join(terms)
        result = "..." + "".join(sorted(c for c in set(left.replace(".", "").replace(",", "")) if seen.count(c) == 1))
    return terms, result.replace("...", spare[8 - widest : 8])


def _pair(m: Machine, x: Tensor, first: str, y: Tensor, second: str, later: str) -> tuple[Tensor, str]:
    x, first = _summed(m, x, first, second + later)
    y, second = _summed(m, y, second, first + later)
    sizes = {
        c: max(size, 1) for labels, t in ((second, y), (first, x)) for c, size in zip(labels, t.shape, strict=True)
    }
    both = [c for c in first if c in second and c in later]
    left = [c for c in first if c not in second]
    right = [c for c in second if c not in first]
    gone = [c for c in first if c in second and c not in later]
    order = both + left + right
    if not gone:
        return mul(m, _spread(m, x, first, order), _spread(m, y, second, order)), "".join(order)
    a = _arranged(m, x, first, (both, left, gone), sizes)
    b = _arranged(m, y, second, (both, gone, right), sizes)
    return ops.reshape(m, bmm(m, a, b), tuple(sizes[c] for c in order)), "".join(order)


def _summed(m: Machine, x: Tensor, labels: str, wanted: str) -> tuple[Tensor, str]:
    """Without the labels that nobody wants any more."""
    gone = [d for d, label in enumerate(labels) if label not in wanted]
    return (sum_(m, x, gone), "".join(c for c in labels if c in wanted)) if gone else (x, labels)


def _spread(m: Machine, x: Tensor, labels: str, order: Sequence[str]) -> Tensor:
    """In the order of these labels, with a dimension of size 1 for each that it lacks."""
    x = ops.permute(m, x, [labels.index(c) for c in order if c in labels])
    for d, label in enumerate(order):
        if label not in labels:
            x = ops.unsqueeze(m, x, d)
    return x


def _arranged(m: Machine, x: Tensor, labels: str, groups: tuple[list[str], ...], sizes: dict[str, int]) -> Tensor:
    order = [labels.index(c) for group in groups for c in group]
    shape = tuple(prod(sizes[c] for c in group) for group in groups)
    return ops.reshape(m, ops.permute(m, x, order), shape)
