"""ONNX Runtime's memory pattern and arena, simulated on hand-made schedules and request sequences."""

from __future__ import annotations

from graphmem.ir.schedule import Buffer, Schedule, Step
from graphmem.ort.arena import Arena, arena_held, pattern_block, pattern_peak

MIB = 1 << 20


def schedule(rows: list[tuple[int, list[int]]], writes: list[list[int]], leaving: tuple[int, ...] = ()) -> Schedule:
    """Buffers as (bytes, steps that read it), and the buffers that each step writes."""
    steps = tuple(
        Step(f"s{i}", "Op", "forward", tuple(b for b, (_, reads) in enumerate(rows) if i in reads), tuple(new))
        for i, new in enumerate(writes)
    )
    return Schedule(
        steps, tuple(Buffer(f"b{i}", n, "activation", (f"b{i}",)) for i, (n, _) in enumerate(rows)), (), leaving
    )


def test_the_pattern_fills_the_tightest_gap_and_rounds_to_256_bytes() -> None:
    # a(512) b(256) c(512) d(256); then a goes, then c; e(256) fits the hole of a and of c's tail alike: the first wins
    made = schedule([(512, [2]), (256, [4]), (100, [4])], [[0], [1], [], [2], []])
    assert pattern_block(made, [0, 1, 2], [False] * 3) == 512 + 256  # 100 bytes, rounded to 256, lie in the hole of a


def test_the_room_behind_the_last_live_buffer_is_a_gap_too() -> None:
    # a(1024) b(256) c(256): when a and c are gone, 256 bytes fit the tail exactly and leave a's hole whole for 1024
    rows = [(1024, [3]), (256, [6]), (256, [3]), (256, [6]), (1024, [6])]
    made = schedule(rows, [[0], [1], [2], [], [3], [4], []])
    assert pattern_block(made, range(5), [False] * 5) == 1024 + 256 + 256


def test_outputs_and_workspace_come_on_top_of_the_block() -> None:
    steps = (Step("s", "Op", "forward", (), (0,), 64), Step("t", "Op", "forward", (0,), (1,), 128))
    buffers = (Buffer("a", 256, "activation", ("a",)), Buffer("y", 192, "output", ("y",)))
    made = Schedule(steps, buffers, (), (1,))
    assert pattern_peak(made, [0, 1], [False, True]) == 256 + 192 + 128


def test_the_arena_starts_with_a_mebibyte_and_doubles() -> None:
    arena = Arena()
    chunks = [arena.allocate(MIB) for _ in range(3)]
    assert arena.regions == [MIB, 2 * MIB]  # the second region holds two
    arena.release(chunks[0])
    assert arena.allocate(3 * MIB) == (4 * MIB, 2, 0)  # not split: less than twice the request
    assert arena.held == (1 + 2 + 4) * MIB


def test_freed_neighbours_merge() -> None:
    arena = Arena()
    chunks = [arena.allocate(MIB // 4) for _ in range(4)]
    for chunk in chunks:
        arena.release(chunk)
    assert arena.allocate(MIB) == (MIB, 0, 0)


def test_the_block_of_the_second_run_comes_on_top_of_the_regions_of_the_first() -> None:
    made = schedule([(MIB, [1]), (MIB, [2])], [[0], [1], []])
    rest = [0, 1], [False, False], [(), (), ()]
    assert arena_held(made, *rest, pattern=False) == (1 + 2) * MIB
    assert arena_held(made, *rest, pattern=True) == (1 + 2) * MIB  # the block of 2 MiB fits the second region
