"""Generated questions shaped like networks, with their backward: layered graphs, U-Nets and transformers."""

from __future__ import annotations

import random

from graphmem.ir.recompute import Operation, Recompute

Forward = list[tuple[int, int, tuple[int, ...]]]  # bytes, cost, reads


def with_backward(forward: Forward, name: str) -> Recompute:
    """The joint graph: a backward operation reads its inputs, its own value and the gradients of its readers."""
    operations = [Operation(f"f{i}", size, cost) for i, (size, cost, _) in enumerate(forward)]
    reads = [sources for _, _, sources in forward]
    readers: list[list[int]] = [[] for _ in forward]
    for i, (_, _, sources) in enumerate(forward):
        for source in sources:
            readers[source].append(i)
    backward_of: dict[int, int] = {}
    for i in reversed(range(len(forward))):
        size, cost, sources = forward[i]
        gradients = [backward_of[reader] for reader in readers[i]]
        kept = [*sources, i] if i % 3 else [*sources]  # some need their inputs alone, as a matrix product does
        reads.append(tuple(sorted({*kept, *gradients} or {i})))
        backward_of[i] = len(operations)
        operations.append(Operation(f"b{i}", size, 2 * cost, backward=True))
    return Recompute(tuple(operations), tuple(reads), name=name)


def layered(size: int, seed: int, width: int = 4) -> Recompute:
    """`size` operations in layers; every one reads one to three of the two layers before it."""
    rng = random.Random(seed)
    forward: Forward = []
    for i in range(size // 2):
        before = range(max(0, i - 2 * width), i - i % width) if i >= width else range(0)
        sources = sorted(rng.sample(before, min(len(before), rng.randint(1, 3))))
        forward.append((rng.choice([0, 1, 8, 64, 256]) * rng.randint(1, 1024), rng.randint(0, 10**6), tuple(sources)))
    return with_backward(forward, f"layered-{size}-{seed}")


def unet(size: int, seed: int) -> Recompute:
    """Down and up again: every level of the way up reads what the same level of the way down has made."""
    rng = random.Random(seed)
    levels = max(2, min(8, size // 16))
    each = max(1, size // (4 * levels))
    forward: Forward = []
    skips = []
    for level in (*range(levels), *reversed(range(levels))):
        for k in range(each):
            last = () if not forward else (len(forward) - 1,)
            skip = (skips.pop(),) if skips and k == 0 and len(forward) >= levels * each else ()
            sources = tuple(sorted({*last, *skip}))
            forward.append((4**9 >> level, (1000 << (k % 2) * 4) + rng.randint(0, 9), sources))
        if len(forward) <= levels * each:
            skips.append(len(forward) - 1)
    return with_backward(forward, f"unet-{size}-{seed}")


def transformer(size: int, seed: int) -> Recompute:
    """Blocks of norm, three projections, scores, softmax, mixing, projection, sum; norm, two layers, sum; one loss."""
    rng = random.Random(seed)
    hidden, square = 1 << 20, 3 << 20
    block = [
        (hidden, 3, (-1,)), (hidden, 90, (0,)), (hidden, 90, (0,)), (hidden, 90, (0,)), (square, 40, (1, 2)),
        (square, 5, (4,)), (hidden, 40, (3, 5)), (hidden, 90, (6,)), (hidden, 1, (-1, 7)), (hidden, 3, (8,)),
        (4 * hidden, 360, (9,)), (4 * hidden, 6, (10,)), (hidden, 360, (11,)), (hidden, 1, (8, 12)),
    ]  # fmt: skip
    forward: Forward = [(hidden, 1, ())]
    while len(forward) + len(block) < size // 2:
        start = len(forward)
        for nbytes, cost, sources in block:
            forward.append((nbytes, cost * 1000 + rng.randint(0, 99), tuple(sorted(start + s for s in sources))))
    forward.append((9 * hidden, 2000_000, (len(forward) - 1,)))
    return with_backward(forward, f"transformer-{size}-{seed}")
