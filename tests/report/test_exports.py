"""Exports: what each viewer's own reader demands of a file, and that its keys are the model's own names."""

from __future__ import annotations

import csv
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

import graphmem
from graphmem.cli.plan import arena_plan
from graphmem.ir.profile import Profile
from graphmem.ir.training import Training
from graphmem.memory.profile import inference_profile
from graphmem.memory.training_profile import training_profile, training_replay
from graphmem.reader.annotate import annotated, node_ids
from graphmem.report.exports import viewers
from graphmem.report.exports.notes import model_notes, node_notes
from graphmem.report.exports.snapshot import replay_snapshot, snapshot

MODELS = Path(__file__).parents[2] / "models"
NAMES = ["resnet50", "bert", "tiny_if", "tiny_lstm"]


def profile_of(name: str, is_planned: bool = True) -> Profile:
    analysis = graphmem.analyze(MODELS / f"{name}.onnx", batch=1)
    return inference_profile(analysis, arena_plan(analysis) if is_planned else None)


@pytest.mark.parametrize("is_planned", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_snapshot_replays_to_the_peak_and_to_its_own_segments(name: str, is_planned: bool) -> None:
    profile = profile_of(name, is_planned)
    document = pickle.loads(snapshot(profile))
    live: dict[int, int] = {}
    peak = 0
    for event in document["device_traces"][0]:
        if event["action"] == "alloc" and event["size"]:
            end = event["addr"] + event["size"]
            assert all(a + n <= event["addr"] or end <= a for a, n in live.items()), "two live blocks overlap"
            live[event["addr"]] = event["size"]
        elif event["action"] == "free_completed":
            assert live.pop(event["addr"]) == event["size"]
        peak = max(peak, sum(live.values()))
    workspace = profile.schedule.steps[profile.timeline.peak_step].workspace
    assert peak >= profile.standing + profile.timeline.peak - workspace
    left = {}
    for segment in document["segments"]:
        assert sum(block["size"] for block in segment["blocks"]) == segment["total_size"]
        address = segment["address"]
        for block in segment["blocks"]:
            assert block["address"] == address
            left |= {address: block["size"]} if block["state"] == "active_allocated" else {}
            address += block["size"]
    assert left == live
    assert "unknown" in {event.get("category") for event in document["device_traces"][0]}  # or the viewer dies


def test_pytorchs_own_reader_accepts_the_snapshot() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    from torch.cuda import _memory_viz

    document = pickle.loads(snapshot(profile_of("resnet50")))
    assert "total_reserved" in _memory_viz.segsum(document)
    assert _memory_viz.trace(document)
    assert "<html" in _memory_viz.trace_plot(document)


@pytest.fixture(scope="module")
def step() -> Training:
    return graphmem.train(MODELS / "resnet18.onnx", batch=4, optimizer="adamw", device="cuda")


def snapshot_of(step: Training) -> Any:
    assert step.details is not None
    return pickle.loads(replay_snapshot(training_profile(step), training_replay(step, step.details)))


def test_a_snapshot_of_training_has_the_segments_of_the_allocator(step: Training) -> None:
    document = snapshot_of(step)
    assert step.allocator is not None
    assert sum(segment["total_size"] for segment in document["segments"]) == step.allocator.reserved
    for segment in document["segments"]:
        assert sum(block["size"] for block in segment["blocks"]) == segment["total_size"]
    live: dict[int, int] = {}
    peak = total = 0
    for event in document["device_traces"][0]:
        if event["action"] == "alloc" and event["size"]:
            live[event["addr"]] = event["size"]
            total += event["size"]
        elif event["action"] == "free_completed":
            total -= live.pop(event["addr"])
        peak = max(peak, total)
    assert peak == step.allocator.allocated
    kept = {b["address"] for s in document["segments"] for b in s["blocks"] if b["state"] == "active_allocated"}
    assert kept == set(live)
    words = {event.get("category") for event in document["device_traces"][0]} - {None}
    assert words == {"unknown", "parameter", "optimizer_state", "input", "activation", "gradient", "temporary"}


def test_pytorchs_own_reader_accepts_the_snapshot_of_training(step: Training) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    from torch.cuda import _memory_viz

    document = snapshot_of(step)
    assert "total_reserved" in _memory_viz.segsum(document)
    assert _memory_viz.trace(document)
    assert "<html" in _memory_viz.trace_plot(document)


def test_the_trace_and_rows_of_training_are_its_timeline(step: Training) -> None:
    profile = training_profile(step)
    events = json.loads(viewers.trace(profile, "x"))["traceEvents"]
    counters = [sum(e["args"].values()) for e in events if e["ph"] == "C"]
    assert counters == step.timeline.live.tolist()
    rows = list(csv.DictReader(io.StringIO(viewers.lifetimes_csv(profile))))
    assert len({row["id"] for row in rows}) == len(rows) == len(step.schedule.buffers)
    at = step.timeline.peak_step
    assert sum(int(r["size"]) for r in rows if int(r["lower"]) <= at < int(r["upper"])) == step.peak


@pytest.mark.parametrize("name", NAMES)
def test_netron_targets_are_the_models_own_names(name: str) -> None:
    document = json.loads(viewers.netron(profile_of(name)))
    assert document["signature"] == "netron:attachment"
    graph = onnx.load(MODELS / f"{name}.onnx", load_external_data=False).graph
    values = {value for node in graph.node for value in (*node.input, *node.output)} | {v.name for v in graph.input}
    names = {"node": {node.name for node in graph.node}, "value": values, "model": {""}}
    for metric in document["metrics"]:
        assert metric["target"] in names[metric["kind"]]
        assert len(metric["name"]) <= 14  # longer labels are cut


def test_model_explorer_ids_are_names_or_positions_in_the_file(model: Callable[..., Path]) -> None:
    path = model("g (float[4] x) => (float[4] y) { [named] a = Exp(x) b = Neg(a) y = Add(a, b) }")
    graph, ids = node_ids(path)
    document = json.loads(viewers.model_explorer(inference_profile(graphmem.analyze(path)), graph, ids))
    assert list(document) == ["g"]
    assert list(document["g"]["results"]) == [ids["a"], "<node_1>", "<node_2>"]
    assert [stop["stop"] for stop in document["g"]["gradient"]] == sorted(s["stop"] for s in document["g"]["gradient"])


@pytest.mark.parametrize("name", NAMES)
def test_speedscope_stacks_weigh_the_peak_and_the_run(name: str) -> None:
    profile = profile_of(name)
    document = json.loads(viewers.speedscope(profile, name, "0"))
    at_peak, whole = document["profiles"]
    assert at_peak["endValue"] == sum(profile.tensors[row].nbytes for row in profile.rows_at_peak)
    assert whole["endValue"] == sum(tensor.nbytes for tensor in profile.tensors)
    for one in document["profiles"]:
        assert len(one["samples"]) == len(one["weights"])
        assert all(0 <= frame < len(document["shared"]["frames"]) for stack in one["samples"] for frame in stack)


@pytest.mark.parametrize("name", NAMES)
def test_trace_slices_nest_and_its_counter_is_the_timeline(name: str) -> None:
    profile = profile_of(name)
    events = json.loads(viewers.trace(profile, name))["traceEvents"]
    slices = [(e["ts"], e["ts"] + e["dur"]) for e in events if e["ph"] == "X"]
    open_: list[tuple[int, int]] = []
    for start, stop in sorted(slices, key=lambda s: (s[0], -s[1])):
        while open_ and open_[-1][1] <= start:
            open_.pop()
        assert not open_ or stop <= open_[-1][1]
        open_.append((start, stop))
    counters = [sum(e["args"].values()) for e in events if e["ph"] == "C" and e["name"] == "live bytes"]
    assert counters == profile.timeline.live.tolist()


def test_csv_holds_every_lifetime_and_its_place() -> None:
    profile = profile_of("resnet50")
    rows = list(csv.DictReader(io.StringIO(viewers.lifetimes_csv(profile))))
    assert [row["id"] for row in rows] == list(profile.lifetimes.buffers)
    assert [int(row["offset"]) for row in rows] == list(profile.offsets or ())
    assert list(rows[0]) == ["id", "lower", "upper", "size", "offset"]


@pytest.mark.parametrize("name", NAMES)
def test_an_annotated_model_is_the_model_with_notes(name: str) -> None:
    path = MODELS / f"{name}.onnx"
    analysis = graphmem.analyze(path, batch=1)
    profile = inference_profile(analysis)
    data, count = annotated(path, model_notes(analysis), node_notes(profile))
    again = onnx.load_from_string(data)
    notes = [{p.key: p.value for p in node.metadata_props} for node in again.graph.node]
    assert count == sum("graphmem.step" in note for note in notes) > 0
    assert {p.key: p.value for p in again.metadata_props}["graphmem.activation_peak_bytes"] == str(
        profile.timeline.peak
    )
    assert stripped(again) == stripped(onnx.load(path, load_external_data=False))
    twice = annotated_again(data, path, analysis, profile)
    assert twice == data


def annotated_again(data: bytes, path: Path, analysis: Any, profile: Profile) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(data)
        return annotated(copy, model_notes(analysis), node_notes(profile))[0]


def stripped(proto: onnx.ModelProto) -> bytes:
    for holder in (proto, *proto.graph.node):
        kept = [p for p in holder.metadata_props if not p.key.startswith("graphmem.")]
        del holder.metadata_props[:]
        holder.metadata_props.extend(kept)
    return proto.SerializeToString(deterministic=True)
