"""What the pictures of a training step show: bands, modules and blocks add up, and the replay is the allocator's."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphmem
from graphmem.memory.comparison import compare_training
from graphmem.memory.training_profile import training_profile, training_replay, with_cublas

MODELS = Path(__file__).parents[2] / "models"
NAMES = ["resnet18", "bert", "unet", "tiny_lstm", "tiny_if", "resnet50_torchscript"]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("name", NAMES)
def test_bands_modules_and_blocks_of_a_step_add_up(name: str, optimizer: str) -> None:
    training = graphmem.train(MODELS / f"{name}.onnx", batch=2, optimizer=optimizer)
    profile, parts = training_profile(training), training.breakdown
    live, steps = profile.timeline.live, profile.schedule.steps
    assert np.array_equal(sum(band.live for band in profile.bands), live)
    whole = profile.scopes[0]
    assert (whole.steps, whole.at_peak, whole.saved) == (len(steps), training.peak, training.saved_bytes)
    children = [scope for scope in profile.scopes if scope.parent == 0]
    at_peak = {row: profile.tensors[row].nbytes for row in profile.rows_at_peak}
    own_at_peak = sum(nbytes for row, nbytes in at_peak.items() if profile.homes[row] == 0)
    assert sum(scope.at_peak for scope in children) + own_at_peak == whole.at_peak
    assert [s for b in profile.blocks for s in range(b.start, b.stop)] == list(range(len(steps)))
    assert all(len({steps[s].phase for s in range(b.start, b.stop)}) == 1 for b in profile.blocks)
    by_kind = {band.kind: int(band.live[profile.timeline.peak_step]) for band in profile.bands}
    assert by_kind.get("saved activation", 0) + by_kind.get("activation", 0) == parts["activations"]
    assert by_kind.get("optimizer_state", 0) == parts["optimizer_state"]


@pytest.mark.parametrize("name", NAMES)
def test_reads_lie_inside_the_lives_of_what_is_read(name: str) -> None:
    training = graphmem.train(MODELS / f"{name}.onnx", batch=2)
    profile, alive = training_profile(training), training.lifetimes
    assert training.details is not None
    assert any(training.details.reads)
    for step, made in enumerate(profile.schedule.steps):
        assert all(alive.start[row] <= step < alive.stop[row] for row in made.reads)


BLOCKS = {"checkpoint": ("blocks",)}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("resnet18", {}),
        ("bert", {}),
        ("tiny_lstm", {}),
        ("gpt2", BLOCKS),  # recomputation stops before its last allocation
        ("tiny_gpt", {**BLOCKS, "accumulate": 2, "precision": "bf16-amp"}),
    ],
)
def test_the_replay_reserves_what_the_allocator_reserves(name: str, settings: dict[str, Any]) -> None:
    training = graphmem.train(MODELS / f"{name}.onnx", batch=2, optimizer="adamw", device="cuda", **settings)
    assert training.details is not None
    assert training.allocator is not None
    replay = training_replay(training, training.details)
    assert replay.reserved == training.allocator.reserved
    live: dict[int, int] = {}
    for served in replay.events:
        if served.is_segment:
            continue
        if served.nbytes:
            assert served.address not in live
            live[served.address] = served.nbytes
        else:
            del live[served.address]
    assert live == {address: nbytes for address, nbytes, _ in replay.left}
    ends = sorted((address, address + nbytes) for address, nbytes in live.items())
    assert all(before[1] <= after[0] for before, after in pairwise(ends))


def test_a_step_differs_from_itself_in_nothing_and_from_another_optimizer_in_its_state() -> None:
    sgd, adam = (graphmem.train(MODELS / "tiny_cnn.onnx", batch=2, optimizer=name) for name in ("sgd", "adam"))
    assert compare_training(sgd, sgd).is_empty
    found = compare_training(sgd, adam)
    state = next(change for change in found.figures if change.name == "optimizer state at the peak")
    assert (state.old, state.new) == (0, adam.breakdown["optimizer_state"])
    assert {c.name.rpartition(".")[2] for c in found.tensors if c.old is None} >= {"exp_avg", "exp_avg_sq", "step"}


def test_what_an_operator_gives_back_is_in_the_replay_and_not_left() -> None:
    training = graphmem.train(MODELS / "tiny_lstm.onnx", batch=2)
    assert training.details is not None
    assert training.details.scratch
    replay = training_replay(training, training.details)
    of_scratch = [served for served in replay.events if served.row is None and not served.is_segment]
    assert len(of_scratch) == 2 * len(training.details.scratch)
    assert all(row is not None for _, _, row in replay.left)


def test_a_newer_card_takes_more_workspace_for_cublas() -> None:
    training = graphmem.train(MODELS / "resnet18.onnx", batch=2, device="cuda")
    assert training.details is not None
    assert training.allocator is not None
    newer = with_cublas(training, training.details, 32 << 20)
    assert newer.allocator is not None
    assert newer.allocator.allocated > training.allocator.allocated
    assert newer.allocator.reserved == training_replay(newer, training.details).reserved
    same = with_cublas(newer, training.details, 8_519_680)
    assert same == training
