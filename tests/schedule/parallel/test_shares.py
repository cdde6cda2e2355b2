"""What is sent, and who keeps what: formulas against a ring that is played out, rules against their definitions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from graphmem.autograd.tensor import Tensor
from graphmem.schedule.parallel.process import sent, unmade
from graphmem.schedule.parallel.replicated import (
    BUCKET,
    FIRST_BUCKET,
    bucketed,
    local_shape,
    padded_elements,
    partitioned,
)

SIZES = st.lists(st.integers(1, 9 << 20), min_size=1, max_size=12)


def parameters(elements: list[int]) -> list[Tensor]:
    return [unmade((n,), "float32", str(i)) for i, n in enumerate(elements)]


def ring_reduce_scatter(nbytes: int, ranks: int) -> tuple[int, list[int]]:
    """Bytes sent, and the chunk of each rank: chunk c starts at rank c + 1 and is passed on until it is back home."""
    chunks = [nbytes // ranks + (i < nbytes % ranks) for i in range(ranks)]
    total = 0
    for step in range(ranks - 1):
        for rank in range(ranks):
            total += chunks[(rank - step - 1) % ranks]
    return total, chunks


@given(st.integers(0, 1000), st.integers(1, 9))
def test_the_formulas_are_what_rings_send_whatever_the_chunks_are(nbytes: int, ranks: int) -> None:
    scattered, chunks = ring_reduce_scatter(nbytes, ranks)
    gathered = sum(chunk for _ in range(ranks - 1) for chunk in chunks)  # every chunk makes every hop but one
    assert sent("reduce-scatter", nbytes, ranks) == scattered
    assert sent("all-gather", nbytes, ranks) == gathered
    assert sent("all-reduce", nbytes, ranks) == scattered + gathered
    assert sent("broadcast", nbytes, ranks) == sum(nbytes for _ in range(ranks - 1))


@given(SIZES)
def test_a_bucket_closes_with_the_parameter_that_reaches_its_limit(elements: list[int]) -> None:
    ready = parameters(elements)
    buckets = bucketed(ready)
    assert [p for bucket in buckets for p in bucket] == ready
    for i, bucket in enumerate(buckets):
        limit = FIRST_BUCKET if i == 0 else BUCKET
        assert sum(p.nbytes for p in bucket[:-1]) < limit
        assert i == len(buckets) - 1 or sum(p.nbytes for p in bucket) >= limit


def test_types_have_buckets_of_their_own() -> None:
    ready = [unmade((8,), "float32"), unmade((8,), "float16"), unmade((8,), "float32")]
    assert bucketed(ready) == [[ready[0], ready[2]], [ready[1]]]


@given(SIZES, st.integers(1, 6))
def test_a_parameter_has_one_owner_and_no_rank_could_have_been_emptier(elements: list[int], ranks: int) -> None:
    parts = partitioned(parameters(elements), ranks)
    assert sorted(p.elements for part in parts for p in part) == sorted(elements)
    loads = [sum(p.elements for p in part) for part in parts]
    for load, part in zip(loads, parts, strict=True):
        assert not part or load - part[-1].elements <= min(loads)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 5))
def test_shards_make_up_the_parameter_and_padding_less_than_a_row_for_each_rank(
    rows: int, ranks: int, columns: int
) -> None:
    shapes = [local_shape((rows, columns), rank, ranks) for rank in range(ranks)]
    assert sum(shape[0] for shape in shapes) == rows
    assert all(shape[0] * columns <= padded_elements((rows, columns), ranks) for shape in shapes)
    assert 0 <= padded_elements((rows, columns), ranks) * ranks - rows * columns < ranks * columns
