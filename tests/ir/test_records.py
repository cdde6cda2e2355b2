"""Records: what is derived from them, by plain oracles, and that they refuse nonsense."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphmem.ir.errors import BrokenInvariantError, GraphmemError, InputError, ModelError, OptionError
from graphmem.ir.fit import HostMemory, HostPart, Largest, Need
from graphmem.ir.gate import Gate
from graphmem.ir.graph import ISSUE_KINDS, Graph, Issue, Node, Tensor, exactness_of
from graphmem.ir.memory import Lifetime, Lifetimes, Placement, Plan, Timeline
from graphmem.ir.recompute import Course, Judged, Operation, Point, Recompute, Wrap, WrapPlan
from graphmem.ir.runtime import SessionOptions
from graphmem.ir.training import HostTraffic, may_hold_more
from graphmem.ir.types import (
    BITS,
    BoundedType,
    OptionalType,
    SequenceType,
    TensorType,
    UnknownType,
    nbytes_of,
    packed_nbytes,
)  # fmt: skip
from graphmem.ir.verification import Trial

EFFECTS = ("exact", "at most", "at least")
SHAPES = st.lists(st.integers(0, 9), max_size=4).map(tuple)
DTYPES = st.sampled_from(sorted(BITS))
ISSUES = st.lists(st.sampled_from(sorted(ISSUE_KINDS)).map(lambda kind: Issue(kind, "here", "what")))
SPANS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20), st.integers(0, 20)))


@pytest.mark.parametrize(
    ("made", "arguments"),
    [
        (Issue, ("no-such-kind", "here", "what")),
        (BoundedType, ("int64", (1,), (1, 2))),
        (BoundedType, ("int64", (3,), (2,))),
        (Lifetimes, (("a",), np.array([1]), np.array([0, 1]), np.array([1]))),
        (Lifetimes, ((), np.array([1]), np.array([0]), np.array([1]))),
        (Largest, (-1, None)),
        (Largest, (4, 4)),
    ],
)
def test_records_refuse_nonsense(made: Any, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(BrokenInvariantError):
        made(*arguments)


@pytest.mark.parametrize("kind", [ModelError, OptionError])
def test_errors_of_the_caller_are_one_family(kind: type[InputError]) -> None:
    assert issubclass(kind, InputError)
    assert issubclass(kind, GraphmemError)
    assert not issubclass(BrokenInvariantError, InputError)


@given(DTYPES, SHAPES)
def test_bytes_of_a_shape_are_its_bits_rounded_up(dtype: str, shape: tuple[int, ...]) -> None:
    type_ = TensorType(dtype, shape)
    assert type_.elements == prod(shape)
    assert type_.nbytes == -(-prod(shape) * BITS[dtype] // 8) == nbytes_of(type_)


@given(DTYPES, SHAPES, st.data())
def test_a_bound_holds_every_shape_within_it(dtype: str, high: tuple[int, ...], data: st.DataObject) -> None:
    shape = tuple(data.draw(st.integers(0, size)) for size in high)
    bound = BoundedType(dtype, shape, high)
    assert TensorType(dtype, shape).nbytes <= bound.nbytes == TensorType(dtype, high).nbytes


@given(st.lists(st.tuples(DTYPES, SHAPES)))
def test_a_sequence_is_the_sum_of_its_elements(parts: list[tuple[str, tuple[int, ...]]]) -> None:
    elements = tuple(TensorType(*part) for part in parts)
    whole = SequenceType(UnknownType(), elements)
    assert nbytes_of(whole) == sum(element.nbytes for element in elements)
    assert nbytes_of(OptionalType(whole, None)) == nbytes_of(OptionalType(whole, True)) == nbytes_of(whole)
    assert nbytes_of(OptionalType(whole, False)) == 0


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (TensorType("float32", (8, 64)), "float32[8, 64]"),
        (TensorType("bool", ()), "bool[]"),
        (BoundedType("int64", (2, 0), (2, 512)), "int64[2, 0..512]"),
        (UnknownType("float32", (None, 64)), "float32[?, 64]"),
        (UnknownType(), "?[...]"),
        (SequenceType(TensorType("int8", (1,)), None), "seq(int8[1])"),
        (OptionalType(TensorType("int8", (1,)), None), "optional(int8[1])"),
    ],
)
def test_types_are_written_as_their_docstring_says(type_: object, text: str) -> None:
    assert str(type_) == text


@pytest.mark.parametrize(
    "type_", [UnknownType("float32", (None, 4)), TensorType("string", (3,)), BoundedType("string", (), ())]
)
def test_what_has_no_size_counts_nothing(type_: Any) -> None:
    assert nbytes_of(type_) == 0


def test_strings_have_no_packed_size() -> None:
    with pytest.raises(KeyError):
        packed_nbytes("string", 1)


@given(ISSUES, ISSUES)
def test_issues_only_ever_weaken_what_figures_say(some: list[Issue], more: list[Issue]) -> None:
    both = exactness_of([*some, *more])
    assert EFFECTS.index(both) == max(EFFECTS.index(exactness_of(some)), EFFECTS.index(exactness_of(more)))
    assert exactness_of(some) == exactness_of([*some, *some]) == exactness_of(some[::-1])


@pytest.mark.parametrize("kind", ISSUE_KINDS)
def test_an_issue_alone_says_how_to_read_the_figures(kind: str) -> None:
    assert exactness_of([Issue(kind, "here", "what")]) == ISSUE_KINDS[kind] == Issue(kind, "here", "what", False).effect
    assert exactness_of([]) == "exact"


@given(SPANS)
def test_lifetimes_are_rows_and_columns_alike(spans: list[tuple[int, int, int]]) -> None:
    rows = [Lifetime(str(i), *span) for i, span in enumerate(spans)]
    columns = Lifetimes.of(rows)
    assert list(columns) == rows == [columns[i] for i in range(len(columns))]
    assert columns.nbytes.dtype == columns.start.dtype == columns.stop.dtype == np.int64


@given(st.lists(st.integers(0, 2**62)))
def test_the_peak_of_a_timeline_is_its_first_highest_step(live: list[int]) -> None:
    timeline = Timeline(np.array(live, dtype=np.int64))
    assert timeline.peak == max(live, default=0)
    assert timeline.peak_step == (live.index(max(live)) if live else 0)


@given(SPANS, st.sampled_from([1, 64, 512]))
def test_an_arena_ends_at_its_highest_buffer_and_the_gap_is_above_the_bound(
    spans: list[tuple[int, int, int]], alignment: int
) -> None:
    placed, top = [], 0
    for i, span in enumerate(spans):
        placed.append(Placement(Lifetime(str(i), *span), top))
        top += span[0]
    plan = Plan("stack", tuple(placed), top, alignment)
    assert plan.arena % alignment == 0
    assert top <= plan.arena < top + alignment
    assert plan.is_optimal == (plan.arena == top)
    assert plan.gap == (pytest.approx(plan.arena / top - 1) if top else 0.0)


@pytest.mark.parametrize(("exactness", "compared"), [*product(EFFECTS, (9, 10, 11))])
def test_a_bound_never_proves_the_wrong_verdict(exactness: Any, compared: int) -> None:
    verdict = Need(1, compared, compared, exactness).verdict(10)
    assert verdict.startswith("fits") == (compared <= 10)
    could = {"exact": [compared], "at most": [0, compared], "at least": [compared, 99]}[exactness]
    assert ("not proved" not in verdict) == (len({true <= 10 for true in could}) == 1)


@given(st.lists(st.integers(0, 2**50)))
def test_host_memory_is_the_sum_of_its_parts(sizes: list[int]) -> None:
    assert HostMemory(tuple(HostPart("x", n) for n in sizes), 0).nbytes == sum(sizes)


@pytest.mark.parametrize(
    ("figure", "limit", "is_proved", "passes"),
    [(1, 2, True, True), (2, 2, True, True), (3, 2, True, False), (1, 2, False, False)],
)
def test_a_gate_passes_only_with_proof(figure: int, limit: int, is_proved: bool, passes: bool) -> None:
    assert Gate("m", "max-peak", "peak", figure, limit, is_proved).passes is passes


@given(st.lists(st.lists(st.integers(0, 6), max_size=3), max_size=7))
def test_readers_are_reads_the_other_way_round(wanted: list[list[int]]) -> None:
    reads = tuple(tuple(sorted({source for source in sources if source < i})) for i, sources in enumerate(wanted))
    question = Recompute(tuple(Operation(str(i), 1, i, backward=i >= 4) for i in range(len(reads))), reads)
    pairs = {(source, reader) for reader, sources in enumerate(reads) for source in sources}
    assert {(source, reader) for source, found in enumerate(question.readers) for reader in found} == pairs
    assert question.total_cost == sum(range(len(reads)))
    assert question.first_backward == min(4, len(reads))
    assert question.in_free_order().operations == question.operations


@pytest.mark.parametrize(("cost", "bound", "optimal"), [(5, 5, True), (6, 5, False)])
def test_a_point_is_optimal_at_its_bound(cost: int, bound: int, optimal: bool) -> None:
    assert Point(1, Judged(Course((), ()), 1, cost, ""), bound).is_optimal is optimal


@pytest.mark.parametrize(
    ("wraps", "grain", "specs"),
    [
        ((), "module", []),
        ((Wrap("a", "A"),), "module", ["a"]),
        ((Wrap("a", "A"), Wrap("b", "B", ("addmm#0", "addmm#2"))), "selective", ["a", "b:keep=addmm#0,addmm#2"]),
    ],
)
def test_a_plan_of_wraps_is_as_fine_as_its_finest(wraps: tuple[Wrap, ...], grain: str, specs: list[str]) -> None:
    assert WrapPlan(wraps, 1, 0, "").grain == grain
    assert [wrap.spec for wrap in wraps] == specs


@pytest.mark.parametrize(
    ("predicted", "measured", "error"), [(10, 10, 0.0), (11, 10, 0.1), (0, 0, 0.0), (3, 0, 1.0), (5, 10, -0.5)]
)
def test_the_error_of_a_trial_is_relative_to_what_was_measured(predicted: int, measured: int, error: float) -> None:
    assert Trial("first run", SessionOptions(), predicted, measured).error == pytest.approx(error)


def test_traffic_takes_both_ways_and_cudnn_alone_does_not_hold_more() -> None:
    assert HostTraffic(0, 6, 4).seconds(5.0) == 2.0
    assert not may_hold_more(["cuDNN workspace of 2 aten::conv2d"])
    assert may_hold_more(["reserve of cuDNN"])


def test_a_node_reads_each_name_once_and_weights_are_no_steps() -> None:
    node = Node("n", "If", "", ("c", "", "a", "a"), ("y", ""), captures=("a", "b"))
    assert node.reads == ("c", "a", "b")
    assert node.writes == ("y",)
    held = Node("w", "Constant", "", (), ("k",))
    tensors = {name: Tensor(name, role, UnknownType()) for name, role in (("y", "activation"), ("k", "weight"))}  # type: ignore[arg-type]
    inner = Graph("then", (), {}, (), ())
    outer = Node("n", "If", "", ("c",), ("y",), bodies=(("then", inner), ("then#1", inner)))
    graph = Graph("g", (held, outer), tensors, (), ())
    assert graph.steps == (outer,)
    assert [one.name for one in graph.with_bodies] == ["g", "then"]
