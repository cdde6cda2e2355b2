"""The recompute question of a training step is alive as long as the step, and its plans hold when the step is run."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

import graphmem
from graphmem.autograd.tape import Tape
from graphmem.checkpoint.simple import keep_all
from graphmem.ir.errors import OptionError
from graphmem.ir.options import TrainingOptions
from graphmem.ir.recompute import ModelFrontier
from graphmem.raising import raised
from graphmem.reader import read
from graphmem.schedule.eager import training_trace
from graphmem.schedule.module_plans import peak_of
from graphmem.schedule.recompute import question_of
from tests.conftest import SHARED

MODELS = Path(__file__).parents[2] / "models"
GPT = {"path": MODELS / "tiny_gpt.onnx", "dims": {"sequence": 16}, "batch": 16}
DATA = SHARED / "data" / "training"


def _peaks(path: Path, dims: dict[str, int], batch: int | None, optimizer: str) -> tuple[int, int, int]:
    graph = read(path, dims, is_strict=False, trips=None, shapes=None, batch=batch)
    tape = Tape()
    settings = TrainingOptions(loss="cross_entropy", optimizer=optimizer, form="single", device="cpu")
    trace = training_trace(raised(graph, TrainingOptions(dropout=0.1)), settings, tape=tape)
    found = graphmem.train(path, dims, batch=batch, optimizer=optimizer, dropout=0.1).peak
    return keep_all(question_of(trace, tape, "")).peak, peak_of(trace.machine, trace.first_step), found


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("name", ["tiny_gpt", "tiny_cnn", "tiny_lstm"])
def test_keeping_all_needs_as_much_as_the_step(name: str, optimizer: str) -> None:
    dims = {"sequence": 16} if name != "tiny_cnn" else {}
    question, machine, step = _peaks(MODELS / f"{name}.onnx", dims, 16, optimizer)
    assert question == machine == step


@pytest.mark.skipif(not DATA.exists(), reason=f"the measured networks are not at {DATA}")
@pytest.mark.parametrize("name", ["resnet18", "minigpt", "hf_t5", "mobilenetv2", "unet"])
def test_keeping_all_needs_as_much_as_measured_networks(name: str) -> None:
    question, machine, step = _peaks(DATA / f"{name}_train_dynraw.onnx", {}, None, "sgd")
    assert question == machine == step


@cache
def _answer(ratio: float | None) -> ModelFrontier:
    return graphmem.checkpoint_frontier(**GPT, ratio=ratio)  # type: ignore[arg-type]


def test_wraps_have_the_peak_of_the_step_that_has_them() -> None:
    found = _answer(None)
    assert len(found.wraps) > 4
    for plan in found.wraps:
        step = graphmem.train(**GPT, checkpoint=[w.spec for w in plan.wraps])  # type: ignore[arg-type]
        assert step.peak == plan.peak
    costs = [plan.again for plan in found.wraps if plan.grain == "module"]
    peaks = [plan.peak for plan in found.wraps if plan.grain == "module"]
    assert costs == sorted(costs)
    assert peaks == sorted(peaks, reverse=True)


def test_no_habit_beats_the_frontier() -> None:
    found = _answer(None)
    total = found.operations.question.total_cost
    for habit in found.practice:
        points = [p.judged.cost - total for p in found.operations.points if p.judged.peak <= habit.plan.peak]
        assert min([*points, *(w.again for w in found.wraps if w.peak <= habit.plan.peak)]) <= habit.plan.again


def test_a_larger_budget_never_costs_more_and_no_plan_exceeds_its_own() -> None:
    answers = [_answer(r) for r in (0.7, 0.85)]
    for smaller, larger in pairwise(answers):
        assert min(w.again for w in larger.wraps) <= min(w.again for w in smaller.wraps)
        assert larger.operations.points[0].judged.cost <= smaller.operations.points[0].judged.cost
    for found in answers:
        assert found.budget is not None
        assert all(plan.peak <= found.budget for plan in found.wraps)


def test_two_processes_print_the_same(tmp_path: Path) -> None:
    printed = []
    for seed in ("1", "2"):
        arguments = ["checkpoint", str(GPT["path"]), "--dim", "sequence=8", "--batch", "8", "--ratio", "0.8"]
        run = subprocess.run(
            [sys.executable, "-m", "graphmem", *arguments, "--format", "json"],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True, cwd=tmp_path,
        )  # fmt: skip
        printed.append(run.stdout)
    assert printed[0] == printed[1]


def test_a_step_without_anything_to_train_is_refused() -> None:
    with pytest.raises(OptionError, match="freeze"):
        graphmem.checkpoint_frontier(MODELS / "tiny_cnn.onnx", freeze=["*"], ratio=0.5)
