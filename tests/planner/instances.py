"""Lifetimes to plan: random ones, packings that are perfect by construction, and the public instances."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from graphmem.ir.memory import Lifetime, Lifetimes


def public(name: str) -> Lifetimes:
    """A public instance; skips the test, and says so, where the shared data is not there."""
    path = (Path(__file__).parents[2].parent / "shared" / "data" / "planner" / f"{name}.csv").resolve()
    if not path.exists():
        pytest.skip(f"public instance {path} is not on this machine")
    rows = [[int(cell) for cell in line.split(",")] for line in path.read_text().split()[1:]]
    return Lifetimes.of([Lifetime(str(i), size, lower, upper) for i, lower, upper, size in rows])


def random_lifetimes(seed: int, count: int, steps: int = 12, largest: int = 20) -> Lifetimes:
    dice = random.Random(seed)
    rows = []
    for i in range(count):
        start = dice.randrange(steps)
        rows.append(Lifetime(f"t{i}", dice.randint(1, largest), start, dice.randint(start + 1, steps)))
    return Lifetimes.of(rows)


def guillotine(seed: int, count: int, steps: int = 1024, height: int = 1024) -> Lifetimes:
    """A rectangle of time x bytes cut into `count` pieces: they fit in `height` bytes with nothing left free."""
    dice = random.Random(seed)
    pieces = [(0, steps, 0, height)]
    while len(pieces) < count:
        index = max(
            range(len(pieces)), key=lambda i: ((pieces[i][1] - pieces[i][0]) * (pieces[i][3] - pieces[i][2]), i)
        )
        a, b, c, d = pieces[index]
        if b - a > 1 and (d - c < 2 or dice.random() < 0.5):
            cut = dice.randint(a + 1, b - 1)
            pieces[index : index + 1] = [(a, cut, c, d), (cut, b, c, d)]
        else:
            cut = dice.randint(c + 1, d - 1)
            pieces[index : index + 1] = [(a, b, c, cut), (a, b, cut, d)]
    dice.shuffle(pieces)
    return Lifetimes.of([Lifetime(f"p{i}", d - c, a, b) for i, (a, b, c, d) in enumerate(pieces)])


def decoder_training(layers: int, operators: int) -> Lifetimes:
    """A training step of a decoder: most activations live until their backward, gradients and scratch are short."""
    dice = random.Random(layers)
    block = 64 * 1024
    rows: list[tuple[int, int, int]] = []
    saved: list[tuple[int, int]] = []
    step = 0
    for _ in range(layers * operators):
        size = dice.choice((1, 1, 1, 3, 4, 4, 12, 16)) * block + dice.randrange(3) * 512
        if dice.random() < 0.6:
            saved.append((step, size))
        else:
            rows.append((step, step + dice.randint(1, 3), size))
        step += 1
    end = step + len(saved) + 2
    for start, size in reversed(saved):
        rows.append((start, step + dice.randint(1, 2), size))
        rows += [
            (step, step + dice.randint(1, 3), dice.choice((1, 3, 4, 16)) * block) for _ in range(dice.randint(1, 2))
        ]
        if dice.random() < 0.3:
            rows.append((step, end, dice.choice((1, 4, 16)) * 2 * block))  # a weight's gradient, until the optimizer
        step += 1
    return Lifetimes.of([Lifetime(f"b{i}", size, a, min(b, end)) for i, (a, b, size) in enumerate(rows)])


def always_full(seed: int, steps: int, height: int) -> Lifetimes:
    """Every step is full to `height`, whoever dies is replaced by the same bytes: often no packing that low exists."""
    dice = random.Random(seed)
    alive = [(0, size) for size in _split(dice, height, 5)]
    rows: list[tuple[int, int, int]] = []
    for step in range(1, steps):
        dice.shuffle(alive)
        dying, alive = alive[:2], alive[2:]
        rows += [(start, step, size) for start, size in dying]
        alive += [(step, size) for size in _split(dice, sum(size for _, size in dying), 2)]
    rows += [(start, steps, size) for start, size in alive]
    return Lifetimes.of([Lifetime(f"f{i}", size, a, b) for i, (a, b, size) in enumerate(rows)])


def _split(dice: random.Random, total: int, parts: int) -> list[int]:
    cuts = sorted(dice.sample(range(1, total), min(parts, total) - 1))
    return [b - a for a, b in zip([0, *cuts], [*cuts, total], strict=True)]
