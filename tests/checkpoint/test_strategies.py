"""Single strategies against independent oracles: chains, the knapsack, and the search in time."""

from __future__ import annotations

import heapq
import random
from itertools import combinations
from time import monotonic

import numpy as np
import pytest

from graphmem.checkpoint.chain import cheapest_persistent, stages_of
from graphmem.checkpoint.evaluate import judge, judged
from graphmem.checkpoint.kernel import extension
from graphmem.checkpoint.simple import keep_all, node_floor
from graphmem.checkpoint.solve import Search, budget_of, deadline_after, solve
from graphmem.ir.recompute import Point, Recompute, Unreached
from tests.checkpoint.questions import chain, least_cost, tangle
from tests.checkpoint.shapes import layered, transformer, unet

pytest.importorskip("scipy", reason="the minimum cuts and bounds need the extra 'checkpoint'")
needs_compiled = pytest.mark.skipif(extension() is None, reason="the C kernel is not built")


def least_persistent_cost(asked: Recompute, budget: int) -> int | None:
    """As `least_cost`, but a value that outlives the computation of the next one is held until the gradient of that."""
    n, half = len(asked), len(asked) // 2
    size, cost = [o.nbytes for o in asked.operations], [o.cost for o in asked.operations]
    queue = [(0, 0, 0, 0, -1)]  # cost, computed ever, alive, held, computed last
    done: set[tuple[int, int, int, int]] = set()
    while queue:
        spent, ever, alive, held, last = heapq.heappop(queue)
        if (ever, alive, held, last) in done:
            continue
        done.add((ever, alive, held, last))
        if ever == (1 << n) - 1:
            return spent
        for u in (u for u in range(n) if alive >> u & 1 and not held >> u & 1):
            heapq.heappush(queue, (spent, ever, alive & ~(1 << u), held, last))
        below = last - 1 if 0 < last < half else -1
        if below >= 0 and alive >> below & 1 and not ever >> (n - 1 - last) & 1:
            held |= 1 << below  # it was not forgotten right after it was read
        for v in (v for v in range(n) if not alive >> v & 1):
            ready = ever >> v & 1 or ever == (1 << v) - 1
            there = all(alive >> u & 1 for u in asked.reads[v])
            after = alive | 1 << v
            if ready and there and sum(size[u] for u in range(n) if after >> u & 1) <= budget:
                let_go = 1 << (n - 2 - v) if half <= v < n - 1 else 0
                heapq.heappush(queue, (spent + cost[v], ever | 1 << v, after, held & ~let_go, v))
    return None


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 6])
def test_chains_cost_what_brute_force_over_persistent_courses_costs(length: int) -> None:
    for seed in range(8 if length < 5 else 4 if length < 6 else 1):
        asked = chain(length, seed)
        top, floor = keep_all(asked).peak, node_floor(asked)[0]
        for budget in sorted({floor + (top - floor) * part // 3 for part in range(4)}):
            order, exact = cheapest_persistent(asked, budget), least_persistent_cost(asked, budget)
            assert (order is None) == (exact is None)
            if order is not None:
                found = judged(asked, order, "chain")
                assert found.peak <= budget
                assert found.cost == exact


def test_only_a_chain_is_taken_for_a_chain() -> None:
    assert stages_of(chain(5, 1)) == 5
    assert stages_of(chain(5, 1).in_free_order()) is None
    assert stages_of(tangle(10, 1)) is None
    assert stages_of(layered(20, 1)) is None


def test_the_knapsack_is_worth_what_the_best_subset_is_worth() -> None:
    from graphmem.checkpoint.simple import _knapsack

    rng = random.Random(1)
    for _ in range(30):
        sizes = [rng.randint(1, 20) for _ in range(8)]
        worth = [rng.randint(0, 20) for _ in range(8)]
        room = rng.randint(0, 80)
        chosen = _knapsack(np.array(sizes), np.array(worth, dtype=float), room)
        subsets = (some for count in range(9) for some in combinations(range(8), count))
        best = max(sum(worth[i] for i in some) for some in subsets if sum(sizes[i] for i in some) <= room)
        assert sum(sizes[i] for i in chosen) <= room
        assert sum(worth[i] for i in chosen) == best


@needs_compiled
@pytest.mark.parametrize("asked", [layered(40, 1), unet(40, 1), transformer(60, 1)], ids=lambda asked: asked.name)
def test_shapes_of_networks_keep_the_budget_and_fall_with_it(asked: Recompute) -> None:
    costs = []
    for ratio in (0.9, 0.7, 0.5):
        found = solve(asked, budget_of(asked, ratio), timeout=2)
        if isinstance(found, Point):
            assert judge(asked, found.judged.course).peak <= found.budget
            assert found.bound <= found.judged.cost
            costs.append(found.judged.cost)
    assert costs == sorted(costs)
    assert costs


@needs_compiled
def test_no_course_of_generated_questions_undercuts_a_bound() -> None:
    for asked in (layered(12, 3), layered(12, 8), unet(12, 1)):
        for ratio in (0.6, 0.8):
            budget = budget_of(asked, ratio)
            found, exact = solve(asked, budget), least_cost(asked, budget)
            assert isinstance(found, Point) == (exact is not None)
            if isinstance(found, Point):
                assert found.bound <= found.judged.cost == exact


@needs_compiled
def test_the_deadline_is_kept_and_said() -> None:
    asked = layered(1500, 1)
    started = monotonic()
    search = Search(asked, deadline_after(1.0))
    found = search.point(budget_of(asked, 0.3))
    assert monotonic() - started < 3
    assert isinstance(found, Point | Unreached)
    if isinstance(found, Point):
        assert "time was up" in search.notes[0]
