"""Small random schedules, and when a buffer is alive by the words of ir/schedule.py: a set of steps for each buffer."""

from __future__ import annotations

import random

from graphmem.ir.schedule import Buffer, Schedule, Step

KINDS = ("input", "activation", "output", "gradient")
PHASES = ("forward", "backward", "optimizer")


def random_schedule(seed: int, most: int = 9) -> Schedule:
    """Up to `most` steps; some buffers enter, some leave, some are never read, one may never be touched."""
    dice = random.Random(seed)
    entering = dice.randint(0, 2)
    steps, known = [], list(range(entering))
    phases = sorted(dice.choices(PHASES, k=dice.randint(1, most)), key=PHASES.index)
    for number, phase in enumerate(phases):
        reads = tuple(dice.sample(known, min(len(known), dice.randint(0, 3))))
        writes = tuple(len(known) + i for i in range(dice.randint(0, 2)))
        known += writes
        reads += writes[: dice.randint(0, 1)]
        steps.append(Step(f"s{number}", dice.choice(["Add", "Exp"]), phase, reads, writes, dice.choice([0, 0, 3, 50])))
    sizes = [dice.choice([0, 1, 4, 16, 99, 100, 101, 300]) for _ in range(len(known) + dice.randint(0, 1))]
    kinds = ["input" if row < entering else dice.choice(KINDS[1:]) for row in range(len(sizes))]
    buffers = tuple(Buffer(f"b{i}", n, k, (f"b{i}",)) for i, (n, k) in enumerate(zip(sizes, kinds, strict=True)))
    leaving = dice.sample(known, min(len(known), dice.randint(0, 2)))
    return Schedule(tuple(steps), buffers, tuple(range(entering)), tuple(leaving))


SCHEDULES = tuple(random_schedule(seed) for seed in range(30))


def steps_alive(schedule: Schedule) -> list[set[int]]:
    """The steps in which each buffer is alive."""
    found: list[set[int]] = []
    last = len(schedule.steps) - 1
    for row in range(len(schedule.buffers)):
        touched = [s for s, step in enumerate(schedule.steps) if row in step.reads or row in step.writes]
        first = 0 if row in schedule.entering else min(touched, default=None)
        if first is None:
            found.append(set())
            continue
        end = last if row in schedule.leaving else max(touched, default=0)
        found.append(set(range(first, end + 1)))
    return found


def live_by_hand(schedule: Schedule) -> list[int]:
    """Bytes alive in each step, workspace included."""
    alive = steps_alive(schedule)
    return [
        sum(b.nbytes for b, own in zip(schedule.buffers, alive, strict=True) if s in own) + step.workspace
        for s, step in enumerate(schedule.steps)
    ]
