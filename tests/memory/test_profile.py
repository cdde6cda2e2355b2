"""What the pictures show: bands add up to the timeline, blocks tile the run, modules add up to the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import graphmem
from graphmem.ir.memory import Lifetime, Lifetimes
from graphmem.ir.profile import Profile
from graphmem.ir.schedule import Schedule, Step
from graphmem.memory.liveness import timeline
from graphmem.memory.profile import bands_by_kind, blocks, inference_profile

MODELS = Path(__file__).parents[2] / "models"
NAMES = ["resnet50", "resnet50_torchscript", "bert", "unet", "vgg16", "tiny_if", "tiny_lstm"]


def profile_of(path: Path, **options: str) -> Profile:
    return inference_profile(graphmem.analyze(path, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("memory_model", ["plain", "views", "inplace"])
@pytest.mark.parametrize("name", NAMES)
def test_bands_blocks_and_modules_add_up(name: str, memory_model: str) -> None:
    profile = profile_of(MODELS / f"{name}.onnx", memory_model=memory_model)
    live, steps = profile.timeline.live, len(profile.schedule.steps)
    assert np.array_equal(sum(band.live for band in profile.bands), live)
    assert all((band.live >= 0).all() for band in profile.bands)
    by_kind = bands_by_kind(profile.schedule, profile.lifetimes, ["input"])
    assert np.array_equal(sum(band.live for band in by_kind), live)
    assert [s for b in profile.blocks for s in range(b.start, b.stop)] == list(range(steps))
    assert max(block.peak for block in profile.blocks) == profile.timeline.peak
    made = sum(t.nbytes for t in profile.tensors if t.producer)
    assert (profile.scopes[0].steps, profile.scopes[0].made) == (steps, made)
    alive = sum(profile.tensors[row].nbytes for row in profile.rows_at_peak)
    assert alive + profile.schedule.steps[profile.timeline.peak_step].workspace == profile.timeline.peak


def test_resnet_50_is_its_stem_and_sixteen_residual_blocks() -> None:
    assert len(profile_of(MODELS / "resnet50.onnx").blocks) == 1 + 16
    assert len(profile_of(MODELS / "resnet50_torchscript.onnx").blocks) == 1 + 16


def test_a_tensor_that_lives_throughout_does_not_hide_the_cuts(model: Callable[..., Path]) -> None:
    text = """g (float[4] m, float[4] x) => (float[4] y) {
        a = Add(x, m) b = Exp(a) c = Mul(a, b) d = Add(c, m) e = Exp(d) y = Mul(e, d)
    }"""
    profile = profile_of(model(text))
    assert [(b.start, b.stop) for b in profile.blocks] == [(0, 1), (1, 4), (4, 6)]  # cut at a, and at d; c joins


def test_blocks_of_the_drawn_example() -> None:
    chains = [Lifetime(f"x{i}", 1, i, min(i + 2, 16)) for i in (*range(6), *range(10, 16))]
    drawn = [Lifetime("a", 1, 6, 10), Lifetime("b", 1, 7, 9), Lifetime("c", 1, 8, 10), Lifetime("d", 1, 9, 11)]
    steps = tuple(Step(f"s{i}", "Add", "forward", (), ()) for i in range(16))
    alive = Lifetimes.of([*chains, *drawn])
    found = blocks(alive, timeline(alive, Schedule(steps, (), (), ())))
    assert [(b.start, b.stop) for b in found] == [(0, 7), (7, 16)]  # blocks of one step join the one before


def test_a_model_without_module_names_shows_its_blocks_instead(model: Callable[..., Path]) -> None:
    profile = profile_of(model("g (float[4] x) => (float[4] y) { a = Exp(x) b = Neg(a) y = Add(a, b) }"))
    assert profile.scopes[0].path == ""
    assert all(scope.path.startswith("steps ") for scope in profile.scopes[1:])


def test_a_model_without_steps_has_an_empty_profile(model: Callable[..., Path]) -> None:
    profile = profile_of(model("g (float[4] x) => (float[4] x) { }"))
    assert profile.blocks == ()
    assert profile.bands == ()
