"""The search for the largest batch, against counting up one by one."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from graphmem.fitting.search import LIMIT, largest_batch, rung_batch
from graphmem.ir.fit import Largest


def counted(need: Callable[[int], int], capacity: int) -> int:
    batch = 0
    while need(batch + 1) <= capacity:
        batch += 1
    return batch


@given(st.integers(0, 500), st.integers(1, 40), st.integers(0, 5000), st.integers(1, 300), st.integers(0, 9))
def test_of_growing_needs_it_is_what_counting_up_finds(
    fixed: int, slope: int, capacity: int, guess: int, bend: int
) -> None:
    def need(batch: int) -> int:
        return fixed + slope * batch + bend * batch * batch // 100

    found = largest_batch(need, capacity, guess)
    assert found.batch == counted(need, capacity)
    assert found.refused == found.batch + 1


@given(st.integers(1, 60), st.integers(1, 64), st.integers(50, 4000), st.integers(1, 100))
def test_of_needs_in_steps_too(slope: int, page: int, capacity: int, guess: int) -> None:
    def need(batch: int) -> int:
        return -(-slope * batch // page) * page

    assert largest_batch(need, capacity, guess).batch == counted(need, capacity)


@given(st.lists(st.integers(0, 30), min_size=80, max_size=80), st.integers(200, 3000), st.integers(1, 60))
def test_of_needs_that_also_fall_the_batch_fits_and_the_next_does_not(
    noise: list[int], capacity: int, guess: int
) -> None:
    def need(batch: int) -> int:
        return 40 * batch + (noise[batch] if batch < len(noise) else 0)

    found = largest_batch(need, capacity, guess, beyond=2)
    assert need(found.batch) <= capacity < need(found.batch + 1)
    assert found.refused == found.batch + 1


def test_a_later_batch_that_fits_again_is_found() -> None:
    def need(batch: int) -> int:
        return 95 if batch == 12 else 10 * batch  # 10, 20, ..., 100 fit in 100; 110 does not, 12 does, 130 does not

    assert largest_batch(need, 100).batch == 10
    assert largest_batch(need, 100, beyond=2) == Largest(12, 13)


def test_nothing_fits_or_everything_does() -> None:
    assert largest_batch(lambda _: 11, 10) == Largest(0, 1)
    assert largest_batch(lambda _: 10, 10) == Largest(LIMIT, None)


def test_it_looks_at_few_batches() -> None:
    seen = set()

    def need(batch: int) -> int:
        seen.add(batch)
        return 1000 + 997 * batch

    assert largest_batch(need, 10_000_000).batch == (10_000_000 - 1000) // 997
    assert len(seen) <= 7, seen


@given(st.integers(0, 900), st.integers(1, 40), st.integers(1, 9000), st.integers(1, 60), st.floats(0.5, 80))
def test_rungs_enclose_the_largest(fixed: int, slope: int, capacity: int, start: int, guessed: float) -> None:
    found = rung_batch(lambda batch: fixed + slope * batch, capacity, start, guessed)
    largest = max(0, (capacity - fixed) // slope)
    assert found.batch <= largest
    assert found.refused is None or found.refused > largest
    assert found.batch or found.refused == start


@given(st.integers(1, 1000), st.integers(1, 1000), st.integers(0, 1 << 40), st.integers(1, 300))
def test_plateaus_and_cliffs_cannot_make_it_crawl(wide: int, high: int, capacity: int, guess: int) -> None:
    """Needs that stay alike for long and then jump, as with a file whose batch is fixed."""
    looked: set[int] = set()

    def need(batch: int) -> int:
        looked.add(batch)
        return (batch // (wide * 997)) * high * 1_000_003 + min(batch, 7) + (batch % 3 == 0) * (batch > 50_000)

    found = largest_batch(need, capacity, guess, beyond=2)
    assert need(found.batch) <= capacity or not found.batch
    assert found.refused is None or need(found.refused) > capacity
    assert len(looked) < 150
