"""The block of a memory pattern against a plain scan of all live buffers, as onnxruntime does it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from graphmem.ort.arena import Block, Chunk


def scanned(live: list[tuple[int, int]], nbytes: int, block: int) -> int:
    """Offset by mem_pattern_planner.h: the tightest gap between live buffers, the first of equals, or the end."""
    best, waste, end = None, -1, 0
    for offset, size in (*sorted(live), (block, 0)):
        gap = offset - end - nbytes
        if gap >= 0 and (best is None or gap < waste):
            best, waste = end, gap
        end = offset + size if offset < block else end
    return end if best is None else best


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 99)), max_size=60))
def test_a_block_is_laid_out_as_by_a_scan(moves: list[tuple[int, int]]) -> None:
    """Each move takes a buffer of some size, or gives back one of those that are live."""
    block, live, size = Block(), list[Chunk](), 0
    for nbytes, choice in moves:
        if choice % 3 == 0 and live:
            block.chunks.release(live.pop(choice % len(live)))
            continue
        expected = scanned([(offset, taken) for taken, _, offset in live], nbytes, size)
        live.append(block.allocate(nbytes))
        size = max(size, expected + nbytes)
        assert (live[-1][2], block.size) == (expected, size)
