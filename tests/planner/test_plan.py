from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from graphmem.ir.errors import InputError, OptionError
from graphmem.ir.memory import Lifetime, Lifetimes, Plan
from graphmem.planner import Options, plan
from graphmem.planner.kernel import extension
from tests.planner.instances import always_full, decoder_training, guillotine, public, random_lifetimes

HARD = ["A.1048576", "C.1048576", "E.1048576", "G.1048576", "I.1048576", "K.1048576"]
REPEATABLE = Options(timeout=None)
PURE = Options(timeout=None, compiled=False)

needs_extension = pytest.mark.skipif(extension() is None, reason="the compiled kernel is not built here")


def offsets(result: Plan) -> list[int]:
    return [p.offset for p in result.placements]


def overlaps(result: Plan) -> list[tuple[str, str]]:
    """An independent look at every pair."""
    placed = [(p.lifetime, p.offset) for p in result.placements]
    return [
        (a.buffer, b.buffer)
        for k, (a, x) in enumerate(placed)
        for b, y in placed[:k]
        if a.start < b.stop and b.start < a.stop and x < y + b.nbytes and y < x + a.nbytes
    ]


def live_peak(lifetimes: Lifetimes) -> int:
    steps = range(int(lifetimes.stop.max()))
    return max(sum(life.nbytes for life in lifetimes if life.start <= step < life.stop) for step in steps)


def fits(lifetimes: Lifetimes, height: int) -> bool:
    """By brute force: every offset of every buffer, in order of start."""
    lives = sorted(lifetimes, key=lambda life: life.start)

    def place(k: int, placed: list[tuple[Lifetime, int]]) -> bool:
        if k == len(lives):
            return True
        new = lives[k]
        alive = [(other, at) for other, at in placed if new.start < other.stop]
        return any(
            all(x + new.nbytes <= at or at + other.nbytes <= x for other, at in alive)
            and place(k + 1, [*alive, (new, x)])
            for x in range(height - new.nbytes + 1)
        )

    return place(0, [])


@pytest.mark.parametrize("count", [1, 2, 5, 12, 30])
def test_random_plans_never_overlap_and_never_beat_the_bound(count: int) -> None:
    for seed in range(300):
        lifetimes = random_lifetimes(seed, count)
        result = plan(lifetimes, REPEATABLE)
        assert not overlaps(result)
        assert result.lower_bound <= result.arena <= sum(life.nbytes for life in lifetimes)


@pytest.mark.parametrize("compiled", [pytest.param(True, marks=needs_extension), False])
def test_exact_equals_brute_force_on_tiny_instances(compiled: bool) -> None:
    for seed in range(60):
        lifetimes = random_lifetimes(1000 + seed, 6, steps=6, largest=9)
        result = plan(lifetimes, replace(REPEATABLE, compiled=compiled))
        assert result.is_optimal
        assert fits(lifetimes, result.arena)
        assert result.arena == live_peak(lifetimes) or not fits(lifetimes, result.arena - 1)


@needs_extension
@pytest.mark.parametrize("alignment", [1, 64])
def test_compiled_and_pure_kernels_give_the_same_plans(alignment: int) -> None:
    for seed in range(12):
        lifetimes = random_lifetimes(2000 + seed, 14 + seed, largest=500)
        ours, pure = (plan(lifetimes, replace(o, alignment=alignment)) for o in (REPEATABLE, PURE))
        assert (ours.method, offsets(ours), ours.lower_bound) == (pure.method, offsets(pure), pure.lower_bound)


@pytest.mark.parametrize("seed", range(20))
@needs_extension
def test_fresh_guillotine_packings_are_solved_to_the_bound(seed: int) -> None:
    result = plan(guillotine(seed, 150 + 16 * seed), REPEATABLE)
    assert result.arena == result.lower_bound == 1024


@needs_extension
@pytest.mark.parametrize("name", HARD)
def test_public_hard_instances_fit_at_their_bound(name: str) -> None:
    result = plan(public(name), replace(REPEATABLE, capacity=1_048_576))
    assert result.is_optimal
    assert result.arena <= 1_048_576


@pytest.mark.parametrize("name", ["A.1048576", "C.1048576", "iopddl_G_1"])
def test_pure_python_solves_public_instances_too(name: str) -> None:
    assert plan(public(name), PURE).is_optimal


@needs_extension
def test_a_training_schedule_of_ten_thousand_buffers_is_planned_within_a_percent() -> None:
    assert plan(decoder_training(100, 50), REPEATABLE).gap < 0.01


def test_renaming_buffers_changes_no_offset() -> None:
    lifetimes = random_lifetimes(7, 25)
    renamed = replace(lifetimes, buffers=tuple(f"x{99 - i}" for i in range(25)))
    assert offsets(plan(lifetimes, REPEATABLE)) == offsets(plan(renamed, REPEATABLE))


def test_doubling_every_size_doubles_the_arena() -> None:
    lifetimes = random_lifetimes(8, 25)
    doubled = replace(lifetimes, nbytes=2 * lifetimes.nbytes)
    assert plan(doubled, REPEATABLE).arena == 2 * plan(lifetimes, REPEATABLE).arena


def test_plans_do_not_depend_on_the_hash_seed() -> None:
    code = (
        "from tests.planner.instances import random_lifetimes as r; from graphmem.planner import plan\n"
        "print([p.offset for p in plan(r(5, 40)).placements])"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "12345")
    }
    assert len(runs) == 1


@pytest.mark.parametrize("alignment", [1, 8, 64, 4096])
def test_offsets_keep_the_alignment(alignment: int) -> None:
    for seed in range(40):
        result = plan(random_lifetimes(seed, 20, largest=10_000), replace(REPEATABLE, alignment=alignment))
        assert not any(offset % alignment for offset in offsets(result))
        assert result.arena % alignment == 0


def test_some_buffers_can_have_a_coarser_alignment() -> None:
    for seed in range(40):
        lifetimes = random_lifetimes(seed, 20, largest=300)
        result = plan(lifetimes, replace(REPEATABLE, alignment=4, alignments={"t3": 256, "t4": 32}))
        assert not overlaps(result)
        assert offsets(result)[3] % 256 == offsets(result)[4] % 32 == 0


def test_a_coarser_alignment_costs_no_more_than_padding_every_buffer_to_it() -> None:
    for seed in range(6):
        lifetimes = replace(guillotine(seed, 40), nbytes=64 * guillotine(seed, 40).nbytes)
        some = dict.fromkeys(lifetimes.buffers[::7], 256)
        mixed = plan(lifetimes, replace(REPEATABLE, alignment=64, alignments=some))
        assert not overlaps(mixed)
        assert mixed.arena <= plan(lifetimes, replace(REPEATABLE, alignment=256)).arena


def test_fixed_offsets_are_kept() -> None:
    for seed in range(60):
        lifetimes = random_lifetimes(seed, 15)
        result = plan(lifetimes, replace(REPEATABLE, fixed={"t2": 7, "t5": 200}))
        assert (offsets(result)[2], offsets(result)[5]) == (7, 200)
        assert not overlaps(result)
        assert result.lower_bound >= 200 + lifetimes[5].nbytes


def test_buffers_fixed_to_the_floor_cost_little() -> None:
    for seed in range(6):
        lifetimes = guillotine(seed, 60)
        floor = {p.lifetime.buffer: 0 for p in plan(lifetimes, REPEATABLE).placements if p.offset == 0}
        result = plan(lifetimes, replace(REPEATABLE, fixed=floor))
        assert not overlaps(result)
        assert result.gap < 0.25


def test_an_in_place_pair_shares_one_offset_and_one_buffer() -> None:
    chain = Lifetimes.of([Lifetime("x", 8, 0, 2), Lifetime("y", 8, 1, 3), Lifetime("z", 8, 2, 4)])
    assert plan(chain, REPEATABLE).arena == 8 + 8
    shared = plan(chain, replace(REPEATABLE, in_place=(("x", "y"), ("y", "z"))))
    assert (shared.arena, offsets(shared), shared.is_optimal) == (8, [0, 0, 0], True)


def test_an_in_place_pair_of_other_sizes_is_placed_apart() -> None:
    pair = Lifetimes.of([Lifetime("x", 8, 0, 2), Lifetime("y", 4, 1, 3)])
    assert plan(pair, replace(REPEATABLE, in_place=(("x", "y"),))).arena == 8 + 4


def test_independent_stretches_of_time_share_the_arena() -> None:
    two = Lifetimes.of([Lifetime("a", 5, 0, 2), Lifetime("b", 7, 2, 4), Lifetime("c", 1, 3, 4)])
    assert plan(two, REPEATABLE).arena == 7 + 1


def test_the_bound_is_not_raised_by_what_another_stretch_of_time_came_to() -> None:
    rows = []
    for turn in range(12):
        each = guillotine(60 + turn, 150)
        rows += [
            Lifetime(f"{turn}.{life.buffer}", life.nbytes, life.start + turn * 1024, life.stop + turn * 1024)
            for life in each
        ]
    result = plan(Lifetimes.of(rows), Options(timeout=0.0))
    assert result.lower_bound == 1024 < result.arena


def test_buffers_of_no_byte_or_no_step_share_all_room() -> None:
    empty = Lifetimes.of([Lifetime("a", 0, 0, 9), Lifetime("b", 5, 3, 3), Lifetime("c", 2, 0, 9)])
    assert plan(empty, REPEATABLE).arena == plan(empty, REPEATABLE).lower_bound == 5
    assert plan(Lifetimes.of([]), REPEATABLE).arena == 0


def test_a_timeout_still_gives_a_plan() -> None:
    result = plan(guillotine(1, 300), Options(timeout=0.0))
    assert result.arena >= result.lower_bound


@pytest.mark.parametrize(
    "options",
    [
        Options(alignment=0),
        Options(alignment=8192),
        Options(fixed={"nobody": 0}),
        Options(fixed={"t0": -1}),
        Options(alignments={"t0": 5000}),
    ],
)
def test_senseless_options_are_refused(options: Options) -> None:
    with pytest.raises(OptionError):
        plan(random_lifetimes(1, 3), options)


def test_contradicting_fixed_offsets_are_the_callers_fault() -> None:
    pair = Lifetimes.of([Lifetime("a", 8, 0, 2), Lifetime("b", 8, 1, 3)])
    with pytest.raises(OptionError, match="overlap"):
        plan(pair, Options(fixed={"a": 0, "b": 4}))


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(InputError, match="more than one lifetime"):
        plan(Lifetimes.of([Lifetime("a", 8, 0, 2), Lifetime("a", 8, 1, 3)]))


def test_a_stronger_bound_is_proved_where_the_live_peak_cannot_be_met() -> None:
    plans = [(each, plan(each, REPEATABLE)) for each in (always_full(seed, steps=10, height=20) for seed in range(40))]
    stronger = [(lifetimes, result) for lifetimes, result in plans if result.lower_bound > 20]
    assert all(result.is_optimal for _, result in plans)
    assert not any(fits(lifetimes, result.arena - 1) for lifetimes, result in stronger)
    assert len(stronger) >= 4
