"""Node -> workspace of ONNX Runtime's attention and Einsum kernels on the CPU.

Attention: contrib_ops/cpu/bert, cpu/llm/attention.cc. Einsum: einsum_compute_preprocessor.cc,
einsum_typed_compute_processor.cc. Every operand is first brought to one order of letters, that in which they first
appear, and then, pair by pair, into the form of a batched matrix product; the product is transposed once more if the
result asks for another order. Each of these is a new buffer unless nothing has to move.

    bhid,bhjd->bhij    letters b h i d j
      right  b h 1 d j   moved: 1 buffer      for the product (b h | d | j) moved again: 1 buffer
      product b h i j    1 buffer, copied to the output
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from graphmem.ort.kernels.kernel import Kernel, Rules, aligned, floats

L2_CACHE = 1 << 20  # bytes; the flash kernel sizes its blocks by the machine's second-level cache
PER_HEAD = 64  # bytes that the unfused kernel keeps for each head of each batch row


def flash(steps: int, total: int, head: int, value_head: int) -> int:
    """Blocks of scores and results of one thread (mlas FlashAttention)."""
    widths = head + value_head
    keys = max(1, L2_CACHE // (16 * widths))
    queries = min(keys, widths, steps)
    return floats(queries, 2 + min(keys, total) + value_head)


def unfused(batch: int, heads: int, steps: int, total: int, value_head: int) -> int:
    """Scores, a word per head, and the result before it is transposed back."""
    return floats(batch, heads, steps, total) + PER_HEAD * batch * heads + floats(batch, heads, steps, value_head)


def attention(kernel: Kernel) -> int:
    """com.microsoft Attention: projections, mask, scores."""
    batch, steps, _ = kernel.input(0).shape
    heads = kernel.integer("num_heads", 1)
    width = kernel.output(0).shape[2]
    total = steps + (kernel.input(4).shape[3] if kernel.has_input(4) else 0)
    mask = 0
    if kernel.integer("unidirectional", 0):
        mask = floats(batch, steps, total)
    elif kernel.has_input(3):
        mask = floats(batch, total)
    projected = floats(batch, steps, kernel.input(1).shape[1])
    return projected + mask + unfused(batch, heads, steps, total, width // heads)


def multi_head_attention(kernel: Kernel) -> int:
    """com.microsoft MultiHeadAttention: inputs by head, then flash blocks, or scores where flash cannot be used."""
    batch, steps, width = kernel.input(0).shape[0], kernel.input(0).shape[1], kernel.output(0).shape[2]
    heads = kernel.integer("num_heads", 1)
    keys = kernel.input(1).shape
    total = (keys[2] if len(keys) == 4 else keys[1]) + (kernel.input(6).shape[2] if kernel.has_input(6) else 0)
    by_head = floats(batch, steps, width)
    if len(keys) == 3:
        by_head += aligned(kernel.input(1).nbytes) + aligned(kernel.input(2).nbytes)
    is_plain = not any(kernel.has_input(i) for i in (4, 5, 6, 7)) and not any(kernel.has_output(i) for i in (1, 2, 3))
    head = width // heads
    if is_plain and len(keys) == 3:
        scores = flash(steps, total, head, head)
    else:
        scores = unfused(batch, heads, steps, total, head) + (floats(batch, total) if kernel.has_input(4) else 0)
    adding_bias = 0
    if kernel.has_input(3):  # each input is summed with its bias, then transposed
        adding_bias = by_head + floats(batch, steps, width) + aligned(8 * 3 * 4)
    return max(by_head + scores, adding_bias)


def grouped_query_attention(kernel: Kernel) -> int:
    """com.microsoft GroupQueryAttention: inputs by head and flash blocks."""
    _, steps, width = kernel.input(0).shape
    head = width // kernel.integer("num_heads", 1)
    total = kernel.output(1).shape[2]
    by_head = sum(aligned(kernel.input(i).nbytes) for i in range(3) if kernel.has_input(i))
    return by_head + flash(steps, total, head, head)


def onnx_attention(kernel: Kernel) -> int:
    """Attention of the ONNX standard: scores, and the mask where it must be made or widened."""
    q, k = kernel.input(0).shape, kernel.input(1).shape
    batch = q[0]
    heads = q[1] if len(q) == 4 else kernel.integer("q_num_heads", 1)
    steps = q[-2]
    total = k[-2] + (kernel.input(4).shape[2] if kernel.has_input(4) else 0)
    scores = 0 if kernel.has_output(3) else aligned(prod((batch, heads, steps, total)) * _width(kernel))
    mask = 0
    is_bool = kernel.has_input(3) and kernel.input(3).dtype == "bool"
    if is_bool or kernel.integer("is_causal", 0):
        given = kernel.input(3).elements if kernel.has_input(3) else steps * total
        mask = aligned(given * _width(kernel))
    return scores + mask


def _width(kernel: Kernel) -> int:
    return kernel.input(0).nbytes // max(1, kernel.input(0).elements)


_MICROSOFT = "com.microsoft"
RULES: Rules = {
    (_MICROSOFT, "Attention"): attention,
    (_MICROSOFT, "QAttention"): attention,
    (_MICROSOFT, "MultiHeadAttention"): multi_head_attention,
    (_MICROSOFT, "GroupQueryAttention"): grouped_query_attention,
    ("", "Attention"): onnx_attention,
}


_ELLIPSIS = "."


def einsum(kernel: Kernel) -> tuple[int, ...]:
    """Sizes of the buffers, all but a few of which live until the node ends."""
    terms, result = _terms(kernel)
    letters = list(dict.fromkeys(letter for term in terms for letter in term))
    sizes: dict[str, int] = {}
    for i, term in enumerate(terms):
        for letter, dim in zip(term, kernel.input(i).shape, strict=True):
            sizes[letter] = max(dim, sizes.get(letter, 1))
    work = _Work(letters, result, kernel.input(0).nbytes // max(1, kernel.input(0).elements))
    operands = [work.operand(term, sizes) for term in terms]
    last = {letter: max(i for i, term in enumerate(terms) if letter in term) for letter in letters}
    gone = [letter for letter in letters if last[letter] == 0 and letter not in result]
    current = work.reduced(operands[0], gone)
    order = list(letters)
    for i, right in enumerate(operands[1:], start=1):
        gone = [letter for letter in letters if last[letter] == i and letter not in result]
        current, order = work.product(current, right, gone, is_last=i == len(operands) - 1)
    kept = [letter for letter in order if letter in result]
    if kept != result:
        work.made([current[letter] for letter in kept])
    return tuple(work.buffers)


def _terms(kernel: Kernel) -> tuple[list[list[str]], list[str]]:
    """Letters of each operand and of the result; the dimensions of an ellipsis are ".0", ".1", ..."""
    equation = str(kernel.attributes["equation"]).replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms: list[list[str]] = []
    for i, term in enumerate(left.split(",")):
        hidden = len(kernel.input(i).shape) - len(term.replace("...", ""))
        terms.append(_letters(term, hidden))
    if arrow:
        hidden = max((sum(x.startswith(_ELLIPSIS) for x in term) for term in terms), default=0)
        return terms, _letters(right, hidden)
    every = [letter for term in terms for letter in term]
    once = sorted(letter for letter in set(every) if every.count(letter) == 1 and not letter.startswith(_ELLIPSIS))
    return terms, sorted({letter for letter in every if letter.startswith(_ELLIPSIS)}) + once


def _letters(term: str, hidden: int) -> list[str]:
    before, dots, after = term.partition("...")
    return [*before, *(f"{_ELLIPSIS}{i}" for i in range(hidden if dots else 0)), *after]


@dataclass(slots=True)
class _Work:
    """The buffers made so far. An operand is the size of every letter, 1 where it does not have it."""

    letters: Sequence[str]
    result: Sequence[str]
    width: int
    buffers: list[int] = field(default_factory=list)

    def made(self, dims: Sequence[int]) -> None:
        self.buffers.append(aligned(self.width * prod(dims)))

    def operand(self, term: Sequence[str], sizes: dict[str, int]) -> dict[str, int]:
        """The operand in the common order of letters."""
        places = [self.letters.index(letter) for letter in term]
        if places != sorted(places):
            self.made([sizes[letter] for letter in term])
        return {letter: sizes[letter] if letter in term else 1 for letter in self.letters}

    def reduced(self, operand: dict[str, int], gone: Sequence[str]) -> dict[str, int]:
        """The operand summed over these letters."""
        if not gone:
            return operand
        summed = operand | dict.fromkeys(gone, 1)
        self.made(list(summed.values()))
        return summed

    def product(
        self, left: dict[str, int], right: dict[str, int], gone: Sequence[str], is_last: bool
    ) -> tuple[dict[str, int], list[str]]:
        """The product of two operands and the order of its letters."""
        alone = [letter for letter in gone if left[letter] == 1 or right[letter] == 1]
        left = self.reduced(left, [letter for letter in alone if left[letter] > 1])
        right = self.reduced(right, [letter for letter in alone if right[letter] > 1])
        free = [letter for letter in self.letters if letter not in gone]
        both = [letter for letter in free if left[letter] > 1 and right[letter] > 1]
        ours = [letter for letter in free if left[letter] > 1 and right[letter] == 1]
        theirs = [letter for letter in free if letter not in both and letter not in ours]
        for operand, wanted in ((left, [*both, *ours, *gone, *theirs]), (right, [*both, *gone, *theirs, *ours])):
            if wanted != list(self.letters):
                self.made(list(operand.values()))
        made = {letter: 1 if letter in gone else max(left[letter], right[letter]) for letter in self.letters}
        self.made(list(made.values()))
        order = [*both, *ours, *gone, *theirs]
        if not is_last and order != list(self.letters):
            self.made(list(made.values()))
            order = list(self.letters)
        return made, order


EINSUM: Rules = {("", "Einsum"): einsum}
