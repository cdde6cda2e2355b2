"""Accumulation and precision of a training step: properties, and figures shown as their sums."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

import graphmem
from graphmem.autograd.precision import POLICIES, PRECISIONS
from graphmem.autograd.rules import RULES, rule_of
from graphmem.ir.errors import OptionError
from graphmem.report.envelope import schema_text
from graphmem.report.training import training_json, training_text
from graphmem.schedule import eager as schedule

Write = Callable[..., Path]
MODELS = Path(__file__).parents[2] / "models"


def held(typed: str, count: int) -> str:
    return f"{typed} = {{{', '.join(['1'] * count)}}}"


LINEAR = f"""g (float[2, 4] x) => (float[2, 8] y) <{held("float[8, 4] w", 32)}, {held("float[8] b", 8)}>
    {{ y = Gemm<transB=1>(x, w, b) }}"""
TIED = f"""g (float[2, 4] x) => (float[2, 4] z) <{held("float[4, 4] w", 16)}, {held("float[4] b", 4)}> {{
    y = Gemm<transB=1>(x, w, b)
    r = Relu(y)
    z = Gemm<transB=1>(r, w, b)
}}"""
PARAMETERS = 4 * (8 * 4 + 8)  # bytes of weight and bias of LINEAR


@pytest.mark.parametrize("name", ["mobilenetv2", "tiny_gpt", "tiny_lstm"])
def test_more_micro_batches_than_two_have_the_same_peak(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = [graphmem.train(MODELS / f"{name}.onnx", batch=1, accumulate=n).phase_peaks for n in (2, 7)]
    monkeypatch.setattr(schedule, "STEADY", 5)  # run every micro-batch
    peaks += [graphmem.train(MODELS / f"{name}.onnx", batch=1, accumulate=n).phase_peaks for n in (2, 5)]
    assert all(found == peaks[0] for found in peaks)


def test_what_an_unused_output_has_saved_goes_when_its_name_is_bound_again(
    model: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TIED.replace("=> (float[2, 4] z)", "=> (float[2, 4] z, float[2, 4] other)").replace(
        "z = Gemm", "e = Exp(y) other = Sigmoid(e) z = Gemm"
    )
    two = graphmem.train(model(text), loss="mse", accumulate=2).phase_peaks
    monkeypatch.setattr(schedule, "STEADY", 6)
    assert graphmem.train(model(text), loss="mse", accumulate=6).phase_peaks == two


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_accumulation_costs_at_most_the_gradients(model: Write, precision: str, optimizer: str) -> None:
    one, many = (
        graphmem.train(model(TIED), loss="mean", optimizer=optimizer, precision=precision, accumulate=n) for n in (1, 4)
    )
    gradients = 4 * (16 + 4)
    others = 4 + 4 + 8 + 2 * 4 * 4  # loss of the pass before, divided loss, its divisor, out of the pass before
    assert one.peak <= many.peak <= one.peak + gradients + others
    assert one.baseline == many.baseline


def test_gradients_live_through_the_next_forward_pass(model: Write) -> None:
    found = graphmem.train(model(LINEAR), loss="mse", accumulate=2)
    last = max(i for i, step in enumerate(found.schedule.steps) if step.phase == "forward")
    rows = zip(found.schedule.buffers, found.lifetimes.start, found.lifetimes.stop, strict=True)
    alive = sum(b.nbytes for b, start, stop in rows if b.kind == "gradient" and start < last < stop)
    assert alive == PARAMETERS


@pytest.mark.parametrize(("precision", "item"), [("fp32", 4), ("bf16", 2), ("fp16", 2), ("bf16-amp", 4)])
def test_pure_halves_halve_what_enters_and_mixed_precision_does_not(model: Write, precision: str, item: int) -> None:
    found = graphmem.train(model(LINEAR), loss="mse", optimizer="adamw", precision=precision)
    elements = 3 * (8 * 4 + 8) + 2 * 4 + 2 * 8  # weights and two states of each, input, target
    assert found.baseline == item * elements + 2 * 4  # two counters
    assert found.exactness == "exact"


def test_a_gradient_scaler_brings_two_numbers(model: Write) -> None:
    mixed, scaled = (graphmem.train(model(LINEAR), loss="mse", precision=p) for p in ("bf16-amp", "fp16-amp"))
    assert scaled.baseline - mixed.baseline == 4 + 4  # scale and growth count


def _casts(found: graphmem.ir.training.Training, nbytes: int) -> list[int]:
    """How many buffers of that size each linear layer leaves in the forward pass."""
    layers = [s for s in found.schedule.steps if s.operator == "aten::linear"]
    return [sum(found.schedule.buffers[b].nbytes == nbytes for b in layer.writes) for layer in layers]


def test_the_cast_of_a_tied_weight_is_made_once_and_of_a_frozen_one_every_time(model: Write) -> None:
    weight = 2 * 16
    trained = graphmem.train(model(TIED), loss="mse", precision="bf16-amp")
    frozen = graphmem.train(model(TIED), loss="mse", precision="bf16-amp", freeze=["w"])
    assert _casts(trained, weight) == [1, 0]
    assert _casts(frozen, weight) == [0, 1]  # the input needs no gradient: the first cast dies with its layer


def test_cached_casts_die_with_the_context_and_gradients_of_parameters_are_float32(model: Write) -> None:
    found = graphmem.train(model(LINEAR), loss="mse", precision="bf16-amp")
    gradients = [b.nbytes for b in found.schedule.buffers if b.kind == "gradient"]
    assert sorted(gradients) == [4 * 8, 4 * 8 * 4]
    backward = next(i for i, step in enumerate(found.schedule.steps) if step.phase == "backward")
    rows = zip(found.schedule.buffers, found.lifetimes.start, found.lifetimes.stop, strict=True)
    alive = [b.nbytes for b, start, stop in rows if start < backward < stop - 1 and b.kind == "activation"]
    # the cast input (saved), the output, its float32 cast (saved), the losses; of weight and bias no cast
    assert sorted(alive) == [2 * 2 * 4, 2 * 2 * 8, 4 * 2 * 8, 4 * 2 * 8]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("name", ["tiny_cnn", "tiny_gpt", "vit"])
def test_every_network_to_try_trains_in_every_precision(name: str, device: str) -> None:
    found = {p: graphmem.train(MODELS / f"{name}.onnx", batch=1, precision=p, device=device) for p in PRECISIONS}
    assert not any(i.kind == "unknown-rule" for t in found.values() for i in t.issues)
    assert found["bf16"].peak == found["fp16"].peak
    assert 0.45 < found["bf16"].peak / found["fp32"].peak < 0.75
    assert 0 <= found["fp16-amp"].peak - found["bf16-amp"].peak <= 32  # the scaler's numbers


def test_what_has_a_rule_and_a_policy_is_found_under_its_name() -> None:
    for device, wanted in {
        "cpu": {"linear": "lower precision", "cross_entropy_loss": "float32", "cat": "widest"},
        "cuda": {"conv2d": "lower precision", "layer_norm": "float32", "softmax": "float32", "atan2": "widest"},
    }.items():
        assert all(rule_of(f"aten.{name}") and POLICIES[device][name] == policy for name, policy in wanted.items())
    assert "layer_norm" not in POLICIES["cpu"]  # mixed types are given to it as they are
    assert {"aten.convolution", "aten.softmax", "aten.mkldnn_rnn_layer"} <= set(RULES)


def test_wrong_settings_are_refused(model: Write) -> None:
    with pytest.raises(OptionError, match="precision 'bf17' is not one of fp32"):
        graphmem.train(model(LINEAR), precision="bf17")
    with pytest.raises(OptionError, match="not a whole number from 1"):
        graphmem.train(model(LINEAR), accumulate=0)


def test_adapters_alone_are_trained(model: Write) -> None:
    found = graphmem.train(model(TIED), loss="mse", optimizer="adamw", lora="3:*")
    adapters = 4 * (3 * 4 + 4 * 3)  # one pair of float32 matrices for the tied weight
    assert found.breakdown["parameters"] == 4 * (16 + 4) + adapters
    assert found.breakdown["optimizer_state"] == 2 * adapters + 2 * 4
    gradients = [b.name for b in found.schedule.buffers if b.kind == "gradient"]
    assert sorted(gradients) == ["w.lora_A.weight.grad", "w.lora_B.weight.grad"]


def test_adapters_stay_float32_in_a_half_precision_model(model: Write) -> None:
    full, half = (graphmem.train(model(TIED), loss="mse", lora="3:*", precision=p) for p in ("fp32", "bf16"))
    adapters = 4 * (3 * 4 + 4 * 3)
    assert full.breakdown["parameters"] - adapters == 2 * (half.breakdown["parameters"] - adapters)


@pytest.mark.parametrize(("asked", "expected"), [("2", 8), ("2:head", 1), ("2:*.mlp.*", 4), ("2:*", 9)])
def test_the_last_linear_layer_has_an_adapter_only_when_asked_for(asked: str, expected: int) -> None:
    found = graphmem.train(MODELS / "tiny_gpt.onnx", batch=1, lora=asked)  # two blocks of four layers, and a head
    assert sum(b.name.endswith("lora_A.weight") for b in found.schedule.buffers) == expected


@pytest.mark.parametrize("text", ["0", "x", "3.5", "-1:*"])
def test_a_rank_that_is_none_is_refused(model: Write, text: str) -> None:
    with pytest.raises(OptionError, match="is not R or R:PATTERN"):
        graphmem.train(model(LINEAR), lora=text)


def test_a_pattern_without_a_layer_names_those_that_are_there(model: Write) -> None:
    with pytest.raises(OptionError, match="no linear layer matches 'q'; linear layers: w"):
        graphmem.train(model(TIED), lora="4:q")


def test_an_offloaded_optimizer_leaves_no_state_and_no_temporaries(model: Write) -> None:
    here, there = (
        graphmem.train(model(LINEAR), loss="mse", optimizer="adamw", offload=o) for o in ((), ("optimizer",))
    )
    assert here.baseline - there.baseline == 2 * PARAMETERS + 2 * 4
    assert there.phase_peaks["optimizer"] <= there.peak
    assert there.traffic is not None
    # to the host the gradients, back the parameters; the host holds state, parameters and gradients
    assert (there.traffic.to_host, there.traffic.to_device) == (PARAMETERS, PARAMETERS)
    assert there.traffic.host == 2 * PARAMETERS + 2 * 4 + 2 * PARAMETERS
    assert there.traffic.seconds(1000.0) == 2 * PARAMETERS / 1000


@pytest.mark.parametrize("passes", [1, 2, 5])
def test_offloaded_activations_move_once_each_way_and_pass(model: Write, passes: int) -> None:
    found = graphmem.train(model(TIED), loss="mse", offload=["activations"], accumulate=passes)
    assert found.traffic is not None
    # of the first layer x; relu its result; of the second layer input and weight
    saved = 4 * (2 * 4 + 2 * 4 + 2 * 4 + 4 * 4)
    assert (found.traffic.to_host, found.traffic.to_device) == (passes * saved, passes * saved)
    assert found.traffic.host == saved


def test_the_document_of_a_what_if_follows_the_schema(model: Write) -> None:
    found = graphmem.train(
        model(TIED), loss="mse", precision="bf16-amp", accumulate=2, lora="2:*", offload=["optimizer", "activations"]
    )
    document = json.loads(training_json(found))
    jsonschema.validate(document, json.loads(schema_text("training")))
    assert document["settings"]["precision"] == "bf16-amp"
    assert document["offload"]["host_bytes"] > 0
    assert "2 passes" in training_text(found)
    assert "bf16-amp" in training_text(found)
