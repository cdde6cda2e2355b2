"""Pipelines: the choice of cuts against all choices, bounds against costs, the shortcut against every micro-batch."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmem.ir.errors import OptionError
from graphmem.ir.program import Program
from graphmem.ir.ranks import Parallel
from graphmem.schedule.parallel import parallel_of, ranked
from graphmem.schedule.parallel.pipeline_bounds import bounds, surveyed
from graphmem.schedule.parallel.pipeline_rank import stage_rank
from graphmem.schedule.parallel.pipelined import partition, pipelined
from graphmem.schedule.parallel.stage import cut
from tests.schedule.parallel.programs import CPU, CUDA, residual, residuals

FEW = settings(max_examples=6, deadline=None)


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Costs of stages [stage, first cut, last cut], and bounds that are no larger."""
    stages, cuts = draw(st.integers(1, 4)), draw(st.integers(5, 7))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    costs = rng.integers(1, 40, (stages, cuts, cuts))
    rows, columns = np.tril_indices(cuts)
    costs[:, rows, columns] = 1 << 40
    return costs, np.where(costs < 1 << 40, costs - rng.integers(0, 20, costs.shape), costs)


@given(tables())
def test_the_partition_is_the_best_of_all(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    costs, low = drawn
    stages, cuts, _ = costs.shape
    found = partition(list(low), lambda i, a, b: int(costs[i, a, b]))
    every = [
        max(int(costs[i, a, b]) for i, (a, b) in enumerate(pairwise((0, *inner, cuts - 1))))
        for inner in combinations(range(1, cuts - 1), stages - 1)
    ]
    assert found.peak == min(every) == found.bound
    assert found.peak == max(int(costs[i, a, b]) for i, (a, b) in enumerate(pairwise(found.cuts)))


@given(tables(), st.integers(1, 6))
def test_a_search_that_is_stopped_says_how_far_it_may_be_off(drawn: tuple[np.ndarray, np.ndarray], most: int) -> None:
    costs, low = drawn
    best = partition(list(low), lambda i, a, b: int(costs[i, a, b])).peak
    found = partition(list(low), lambda i, a, b: int(costs[i, a, b]), most)
    assert found.bound <= best <= found.peak


@settings(max_examples=3, deadline=None)
@given(residuals(), st.integers(2, 3), st.integers(0, 1))
def test_no_stage_costs_less_than_its_bound(program: Program, count: int, more: int) -> None:
    micro = count + more
    survey = surveyed(program, CPU)
    cuts = np.arange(len(program.calls) + 1)
    for index in range(count):
        table = bounds(survey, cuts, index, count, micro)
        for a, b in combinations(range(len(cuts)), 2):
            if (index == 0) is (a == 0) and (index == count - 1) is (b == len(cuts) - 1):
                stage = cut(program, a, b, index, count, survey.known, micro)
                assert table[a, b] <= stage_rank(stage, CPU).peak, (index, a, b)


def test_the_cuts_of_a_program_are_the_best_of_all_its_cuts() -> None:
    program = residual([8, 64], 16, batch=64)
    found = ranked(program, CUDA, parallel_of("pipeline:3:4"))
    every = [
        pipelined(program, CUDA, Parallel("pipeline", 3, 4), at).peak
        for at in combinations(range(1, len(program.calls)), 2)
    ]
    assert found.peak == min(every) < max(every)
    assert "proved" in found.notes[0]


@settings(max_examples=4, deadline=None)
@given(residuals(), st.integers(1, 3), st.integers(0, 2))
def test_micro_batches_that_are_not_run_change_nothing(program: Program, count: int, index: int) -> None:
    index, micro = min(index, count - 1), 8
    survey = surveyed(program, CPU)
    ends = [i * len(program.calls) // count for i in range(count + 1)]
    stage = cut(program, ends[index], ends[index + 1], index, count, survey.known, micro)
    assert stage_rank(stage, CPU) == stage_rank(stage, CPU, run=micro)


@FEW
@given(residuals())
def test_one_stage_is_the_plain_step_until_outputs_are_joined(program: Program) -> None:
    found = ranked(program, CPU, parallel_of("pipeline:1")).ranks[0]
    plain = ranked(program, CPU, parallel_of("ddp:1")).ranks[0]
    buckets = sum(g.type.nbytes for g in program.of("parameter"))
    joined = program.output_type.nbytes if program.output_type else 0
    assert found.baseline == plain.baseline - buckets
    assert found.phase_peaks["forward"] == plain.phase_peaks["forward"] - buckets
    assert plain.peak - buckets <= found.peak <= plain.peak - buckets + joined


def test_every_cut_sends_each_micro_batch_there_and_its_gradient_back() -> None:
    program = residual([16] * 4, 8, batch=2)
    found = pipelined(program, CPU, Parallel("pipeline", 2, 5), [8])  # after the second block's add
    activation = 2 * 8 * 4
    assert [(c.calls, c.sent) for c in found.communication] == [(5, 5 * activation)] * 2


def test_fewer_micro_batches_than_stages_are_refused() -> None:
    with pytest.raises(OptionError, match="as many micro-batches as stages"):
        ranked(residual([8], 8), CPU, parallel_of("pipeline:3:2"))


def test_more_stages_than_calls_are_refused() -> None:
    with pytest.raises(OptionError, match="cannot be cut into 9"):
        ranked(residual([8], 8), CPU, parallel_of("pipeline:9"))
