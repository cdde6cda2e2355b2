"""The picture, the replay and the comparison of a training step, against their definitions in plain loops."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

import graphmem
from graphmem.ir.comparison import Comparison
from graphmem.ir.profile import Profile
from graphmem.ir.training import BREAKDOWN, PHASES, StepDetails, Training
from graphmem.memory.allocator import CUBLAS_WORKSPACE, replayed
from graphmem.memory.comparison import compare, compare_training
from graphmem.memory.profile import inference_profile
from graphmem.memory.training_profile import training_profile, training_replay, with_cublas

MODELS = Path(__file__).parents[2] / "models"
STEPS: list[tuple[str, dict[str, Any]]] = [
    ("tiny_lstm", {"optimizer": "adamw"}),
    ("tiny_cnn", {"optimizer": "sgd"}),
    ("tiny_gpt", {"checkpoint": ("blocks",), "device": "cuda", "accumulate": 2}),
]
of_each = pytest.mark.parametrize("which", range(len(STEPS)), ids=[name for name, _ in STEPS])


@cache
def trained(which: int) -> tuple[Training, StepDetails, Profile]:
    name, settings = STEPS[which]
    training = graphmem.train(MODELS / f"{name}.onnx", batch=2, **settings)
    assert training.details is not None
    return training, training.details, training_profile(training)


@of_each
def test_a_buffer_is_saved_when_a_backward_step_waits_for_it_and_made_again_when_one_makes_it(which: int) -> None:
    training, details, profile = trained(which)
    steps, alive = training.schedule.steps, training.lifetimes
    for row, (buffer, tensor) in enumerate(zip(training.schedule.buffers, profile.tensors, strict=True)):
        start, stop = int(alive.start[row]), int(alive.stop[row])
        kind = buffer.kind
        if kind == "activation" and start < len(steps):
            waits = any(step.phase != "forward" for step in steps[start:stop])
            if steps[start].phase == "backward":
                kind = "recomputed activation"
            elif row in details.saved or waits:
                kind = "saved activation"
        assert (tensor.tensor, tensor.nbytes, tensor.kind) == (buffer.name, buffer.nbytes, kind)
        assert (tensor.type, tensor.origin) == (details.types[row], details.homes[row])
        assert (tensor.first_step, tensor.last_step) == (start, max(start, stop - 1))
        is_given = kind in {"parameter", "optimizer_state", "buffer", "constant", "input"}
        assert tensor.producer == ("" if is_given or stop == start else steps[start].operator)


@of_each
def test_every_step_names_what_it_reads_and_workspace_stands_beside(which: int) -> None:
    training, details, profile = trained(which)
    for made, given, more in zip(profile.schedule.steps, training.schedule.steps, details.reads, strict=True):
        assert set(made.reads) == {*given.reads, *more}
        assert len(set(made.reads)) == len(made.reads)
        assert made.reads[: len(given.reads)] == given.reads
        assert (made.name, made.writes, made.phase) == (given.name, given.writes, given.phase)
    workspace = [step.workspace for step in training.schedule.steps]
    assert [(band.kind, band.live.tolist()) for band in profile.beside] == [("workspace", workspace)] * any(workspace)
    assert "workspace" not in {band.kind for band in profile.bands}
    assert (profile.name, profile.origins) == ("training", details.origins)


@of_each
def test_a_scope_sums_its_steps_and_the_buffers_that_belong_to_it(which: int) -> None:
    training, details, profile = trained(which)
    peak, alive = training.timeline.peak_step, training.lifetimes
    assert [profile.scopes[row].path for row in profile.step_scopes] == [origin.scope for origin in details.origins]
    assert [profile.scopes[row].path for row in profile.homes] == [origin.scope for origin in details.homes]
    for scope in profile.scopes:
        prefix = f"{scope.path}." if scope.path else ""
        own = [
            (row, tensor)
            for row, tensor in enumerate(profile.tensors)
            if f"{details.homes[row].scope}.".startswith(prefix) or not prefix
        ]
        weights = sum(t.nbytes for _, t in own if t.kind in {"parameter", "gradient", "optimizer_state"})
        given = {"parameter", "optimizer_state", "buffer", "constant", "input"}
        assert scope.steps == sum(f"{origin.scope}.".startswith(prefix) or not prefix for origin in details.origins)
        assert scope.weights == weights
        assert scope.made == sum(t.nbytes for _, t in own if t.kind not in given)
        assert scope.at_peak == sum(t.nbytes for row, t in own if alive.start[row] <= peak < alive.stop[row])
        assert scope.saved == sum(t.nbytes for row, t in own if row in details.saved)


@of_each
def test_blocks_are_stretches_of_one_module_as_deep_as_48_allow(which: int) -> None:
    training, details, profile = trained(which)
    paths = [
        [step.phase, *(origin.scope.split(".") if origin.scope else [])]
        for step, origin in zip(training.schedule.steps, details.origins, strict=True)
    ]

    def starts(depth: int) -> list[int]:
        found, last = [0], paths[0][:depth]
        for step, path in enumerate(paths[1:], 1):
            goes_on = len(path) == 1 and path[0] == last[0]
            if not goes_on and path[:depth] != last:
                found.append(step)
                last = path[:depth]
        return found

    deepest = starts(1)
    for depth in range(2, max(map(len, paths)) + 1):
        if len(starts(depth)) > 48:
            break
        deepest = starts(depth)
    assert [block.start for block in profile.blocks] == deepest
    assert [block.stop for block in profile.blocks] == [*deepest[1:], len(paths)]
    assert all(block.peak == max(training.timeline.live[block.start : block.stop]) for block in profile.blocks)


@of_each
def test_the_replay_serves_each_allocation_at_its_step_and_leaves_what_is_not_given_back(which: int) -> None:
    training, details, _ = trained(which)
    replay = training_replay(training, details)
    buffers, alive = training.schedule.buffers, training.lifetimes
    cublas = training.allocator.cublas_workspace if training.allocator else 0
    served = [event for event in replay.events if not event.is_segment]
    expected: list[tuple[int, int | None, int, str]] = [(0, None, cublas, "cuBLAS workspace")] * bool(cublas)
    for event in details.events.tolist():
        number = abs(event) - 1
        if number < len(buffers):
            nbytes, step = buffers[number].nbytes, int((alive.start if event > 0 else alive.stop)[number])
            row: int | None = number
        else:
            (nbytes, step), row = details.scratch[number - len(buffers)], None
        if nbytes:
            size = -(-nbytes // 512) * 512 if event > 0 else 0
            expected.append((step, row, size, "workspace" if event > 0 and row is None else ""))
    ours = [(e.step, e.row, e.nbytes, e.what) for e in served]
    assert [row[:2] + row[3:] for row in ours] == [row[:2] + row[3:] for row in expected]
    # a block of the large pool keeps up to 1 MiB that is not worth a split
    assert all(
        0 <= got[2] - asked[2] <= (1 << 20) * (asked[2] > 1 << 20) for got, asked in zip(ours, expected, strict=True)
    )
    given_back = {-event for event in details.events.tolist() if event < 0}
    kept = sorted(
        (e - 1 for e in details.events.tolist() if e > 0 and e not in given_back and buffers[e - 1].nbytes),
    )
    assert sorted(row for _, _, row in replay.left if row is not None) == kept
    assert [row for _, _, row in replay.left].count(None) == bool(cublas)
    assert [address for address, _, _ in replay.left] == sorted(address for address, _, _ in replay.left)
    segments = [(e.address, e.nbytes) for e in replay.events if e.is_segment]
    assert tuple(segments) == replay.segments
    ends = [address + nbytes for address, nbytes in segments]
    assert [address for address, _ in segments] == [0, *ends[:-1]]
    for at, event in enumerate(replay.events[:-1]):
        assert not event.is_segment or replay.events[at + 1].step == event.step


def test_a_bigger_workspace_of_cublas_is_in_all_three_figures() -> None:
    training, details, _ = trained(2)
    assert training.allocator is not None
    assert with_cublas(training, details, training.allocator.cublas_workspace) is training
    sizes = [buffer.nbytes for buffer in training.schedule.buffers] + [nbytes for nbytes, _ in details.scratch]
    for nbytes in CUBLAS_WORKSPACE.values():
        events = [("cublas", nbytes), *((abs(e), sizes[abs(e) - 1] * (e > 0)) for e in details.events.tolist())]
        events = [row for row in events if row[1] or row[0] in {name for name, size in events if size}]
        found = with_cublas(training, details, nbytes).allocator
        assert found is not None
        native, expandable = (replayed(events, expandable=how) for how in (False, True))  # type: ignore[arg-type]
        assert found.cublas_workspace == nbytes
        assert (found.allocated, found.reserved) == (native.peak_allocated, native.peak_reserved)
        assert found.reserved_expandable == expandable.peak_reserved
        assert found.context == training.allocator.context
    on_cpu, its_details, _ = trained(0)
    assert with_cublas(on_cpu, its_details, 1) is on_cpu


def changed(old: dict[str, tuple[int, int]], new: dict[str, tuple[int, int]]) -> dict[str, tuple[Any, ...]]:
    nothing = (None, None)
    return {
        name: (*old.get(name, nothing), *new.get(name, nothing))
        for name in {*old, *new}
        if old.get(name) != new.get(name)
    }


def by_name(profile: Profile, is_training: bool) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for row, tensor in enumerate(profile.tensors):
        name = tensor.tensor
        if is_training and name == f"{profile.schedule.buffers[row].kind}:{row}":
            where = f" in {tensor.origin.scope}" if tensor.origin.scope else ""
            name = f"{tensor.kind} of {tensor.producer}{where}"
        is_at_peak = tensor.first_step <= profile.timeline.peak_step <= tensor.last_step and row in profile.rows_at_peak
        whole, alive = found.get(name, (0, 0))
        found[name] = (whole + tensor.nbytes, alive + (tensor.nbytes if is_at_peak else 0))
    return found


def held(found: Comparison, old: Profile, new: Profile, is_training: bool) -> None:
    for changes, (before, after) in (
        (found.tensors, (by_name(old, is_training), by_name(new, is_training))),
        (
            found.modules,
            tuple({s.path or "(whole model)": (s.made, s.at_peak) for s in p.scopes} for p in (old, new)),
        ),
    ):
        rows = {c.name: (c.old, c.old_at_peak, c.new, c.new_at_peak) for c in changes}
        assert rows == changed(before, after)
        ranks = [(-abs(c.delta_at_peak), -abs(c.delta), c.name) for c in changes]
        assert ranks == sorted(ranks)
    assert all((c.old_at_peak, c.new_at_peak) == (None, None) for c in found.figures)


def test_two_steps_are_compared_by_figure_module_and_tensor() -> None:
    (old, _, before), (new, _, after) = trained(0), trained(2)
    found = compare_training(old, new)
    assert (found.old, found.new) == (old.model.name, new.model.name)
    figures = {c.name: (c.old, c.new) for c in found.figures}
    expected = {f"{phase} peak": (old.phase_peaks[phase], new.phase_peaks[phase]) for phase in PHASES}
    expected |= {
        f"{part.replace('_', ' ')} at the peak": (old.breakdown[part], new.breakdown[part]) for part in BREAKDOWN
    }
    expected |= {"training peak": (old.peak, new.peak), "saved activations": (old.saved_bytes, new.saved_bytes)}
    assert figures == expected
    held(found, before, after, is_training=True)


def test_two_analyses_are_compared_by_figure_module_and_tensor() -> None:
    old, new = (graphmem.analyze(MODELS / "tiny_gpt.onnx", batch=batch) for batch in (1, 3))
    found = compare(old, new)
    assert {c.name: (c.old, c.new) for c in found.figures} == {
        "peak with weights": (old.peak_with_weights, new.peak_with_weights),
        "weights": (old.model.weight_bytes, new.model.weight_bytes),
        "activation peak": (old.inference.peak, new.inference.peak),
        "all activations": (old.inference.total_bytes, new.inference.total_bytes),
    }
    held(found, inference_profile(old), inference_profile(new), is_training=False)
    assert compare(old, old).is_empty
