"""DDP, ZeRO 1-3 and tensor parallelism on drawn programs: held to `training_trace` and to each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmem.ir.errors import OptionError
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Program
from graphmem.ir.ranks import Ranked
from graphmem.memory.liveness import lifetimes, timeline
from graphmem.schedule.eager import training_trace
from graphmem.schedule.parallel import parallel_of, ranked
from graphmem.schedule.parallel.sharding import ROOT, units
from tests.schedule.parallel.programs import CPU, CUDA, residual, residuals

FEW = settings(max_examples=8, deadline=None)
RANKS = (1, 2, 4, 8)


def on(program: Program, way: str, how: TrainingOptions = CUDA) -> Ranked:
    return ranked(program, how, parallel_of(way))


def alone(program: Program, how: TrainingOptions = CUDA) -> int:
    schedule = training_trace(program, how).schedule
    bare = replace(schedule, steps=tuple(replace(step, workspace=0) for step in schedule.steps))
    return timeline(lifetimes(bare), bare).peak


def whole(program: Program) -> int:
    return sum(g.type.nbytes for g in program.of("parameter"))


@FEW
@given(residuals(), st.sampled_from(RANKS), st.sampled_from([CPU, CUDA]))
def test_ddp_is_the_plain_step_and_its_buckets(program: Program, ranks: int, how: TrainingOptions) -> None:
    assert on(program, f"ddp:{ranks}", how).peak == alone(program, how) + whole(program)


@FEW
@given(residuals())
def test_views_of_buckets_never_take_more(program: Program) -> None:
    plain, view = on(program, "ddp:2"), on(program, "ddp:2:view")
    assert view.peak <= plain.peak
    assert view.sent == plain.sent == 2 * whole(program)


@FEW
@given(residuals())
def test_zero1_of_one_rank_is_ddp(program: Program) -> None:
    assert on(program, "zero1:1").peak == on(program, "ddp:1").peak
    assert on(program, "zero1:1").sent == 0


@FEW
@given(residuals())
def test_zero1_states_add_up_to_those_of_one_device(program: Program) -> None:
    states = [rank.breakdown["optimizer_state"] for rank in on(program, "zero1:4").ranks]
    assert sum(states) == on(program, "ddp:4").ranks[0].breakdown["optimizer_state"]


@FEW
@given(residuals(), st.sampled_from(["zero1", "zero2", "zero3"]))
def test_more_ranks_never_raise_the_largest_peak(program: Program, kind: str) -> None:
    """From two ranks on: one rank has nothing to gather. Widths are multiples of all ranks: padding would count."""
    peaks = [on(program, f"{kind}:{ranks}").peak for ranks in RANKS[1:]]
    assert peaks == sorted(peaks, reverse=True)


@pytest.mark.parametrize("ranks", RANKS[1:])
@pytest.mark.parametrize("batch", [1, 64])
def test_each_stage_of_zero_takes_no_more_than_the_one_before_on_equal_blocks(ranks: int, batch: int) -> None:
    """With one large block among small ones a gather window can outweigh what sharding saves: docs/parallel.md."""
    program = residual([64] * 6, 32, batch)
    peaks = [on(program, f"{kind}:{ranks}").peak for kind in ("ddp", "zero1", "zero2", "zero3")]
    assert peaks == sorted(peaks, reverse=True)


@FEW
@given(residuals(), st.sampled_from(RANKS[1:]))
def test_fully_shard_sends_parameters_twice_and_gradients_once(program: Program, ranks: int) -> None:
    root = sum(g.type.nbytes for g in program.of("parameter") if g.name.startswith("head"))
    blocks = whole(program) - root if units(program)[1:] else 0
    root = whole(program) - blocks
    sent = {c.operation: c.sent for c in on(program, f"zero3:{ranks}").communication}
    assert sent == {
        "all-gather": (ranks - 1) * (2 * blocks + root),  # the root's are kept until its backward
        "reduce-scatter": (ranks - 1) * (blocks + root),
    }
    sent = {c.operation: c.sent for c in on(program, f"zero2:{ranks}").communication}
    assert sent["all-gather"] == (ranks - 1) * (blocks + root)


def test_a_rank_keeps_its_share_padded() -> None:
    program = residual([10, 10, 10], 10, bias=False)  # ten rows over four ranks: 3 3 3 1, stored as 3 each
    found = on(program, "zero3:4")
    stored = 7 * 3 * 10 * 4  # matrices of ten columns, bytes
    states = [7 * (2 * rows * 10 * 4 + 4) for rows in (3, 3, 3, 1)]  # and a counter each
    inputs = 2 * 8 * 10 * 4
    assert [rank.baseline for rank in found.ranks] == [stored + state + inputs for state in states]


def test_nccl_makes_no_copies_that_gloo_makes() -> None:
    program = residual([512, 8, 8], 64)  # the first is gathered for its backward while the second is
    assert on(program, "zero3:2", CUDA).peak < on(program, "zero3:2", replace(CUDA, device="cpu")).peak


def test_units_are_members_of_numbered_containers() -> None:
    found = units(residual([8, 8], 8))
    assert [unit.name for unit in found] == [ROOT, "blocks.0", "blocks.1"]
    assert found[0].parameters == ("head.weight",)
    assert [unit.runs for unit in found[1:]] == [((0, 3),), ((4, 7),)]


@FEW
@given(residuals(), st.sampled_from(RANKS))
def test_tensor_parallelism_cuts_what_stands_between_two_layers(program: Program, ranks: int) -> None:
    found = on(program, f"tp:{ranks}")
    cut = sum(g.type.nbytes for g in program.of("parameter") if "up" in g.name or g.name.endswith("down.weight"))
    entering = {r.breakdown["parameters"] for r in found.ranks}
    assert entering == {whole(program) - cut + cut // ranks}


@FEW
@given(residuals())
def test_more_ranks_of_tensor_parallelism_never_take_more(program: Program) -> None:
    peaks = [on(program, f"tp:{ranks}").peak for ranks in RANKS]
    assert peaks == sorted(peaks, reverse=True)


def test_tensor_parallelism_of_one_rank_is_the_plain_step() -> None:
    program = residual([16, 16], 8, bias=False)  # a bias of a row layer is added by a call of its own
    assert on(program, "tp:1").peak == alone(program)


def test_tensor_parallelism_sends_an_activation_forward_and_a_gradient_back_for_each_block() -> None:
    program = residual([16] * 3, 8, batch=4)
    activation = 4 * 8 * 4
    forward, back = on(program, "tp:4").communication
    assert (forward.calls, forward.sent) == (3, 3 * 2 * 3 * activation)  # blocks, 2 (W - 1) n
    assert (back.calls, back.sent) == (2, 2 * 2 * 3 * activation)  # the model's input needs no gradient


def test_what_cannot_be_cut_is_refused_with_the_reason() -> None:
    with pytest.raises(OptionError, match=r"no block to cut: '.*up.weight' has 16 outputs, which 3 does not divide"):
        on(residual([16], 16), "tp:3")


def test_a_parameter_without_dimensions_is_refused_as_fully_shard_does() -> None:
    program = residual([8], 8)
    scale = type(program.given[0])("scale", "parameter", replace(program.given[1].type, shape=()))
    with pytest.raises(OptionError, match="'scale'"):
        on(replace(program, given=(*program.given, scale)), "zero3:2")


@pytest.mark.parametrize(
    "text", ["", "ddp", "ddp:0", "ddp:x", "ddp:2:3", "zero4:2", "pipeline:2:0", "zero1:2:view", "ddp:9999"]
)
def test_a_way_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="is not one of"):
        parallel_of(text)
