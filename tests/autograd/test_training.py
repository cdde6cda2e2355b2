"""A training step of models of a few nodes, each figure shown as its sum."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

import graphmem
from graphmem.cli import group
from graphmem.ir.errors import OptionError
from graphmem.report.envelope import schema_text
from graphmem.report.training import training_document, training_text

Write = Callable[..., Path]


def held(typed: str, count: int) -> str:
    return f"{typed} = {{{', '.join(['1'] * count)}}}"


LINEAR = f"""g (float[2, 4] x) => (float[2, 8] y) <{held("float[8, 4] w", 32)}, {held("float[8] b", 8)}>
    {{ y = Gemm<transB=1>(x, w, b) }}"""
CHAIN = f"""g (float[2, 4] x) => (float[2, 4] z) <{held("float[4, 4] w", 16)}, {held("float[4] b", 4)}> {{
    y = Gemm<transB=1>(x, w, b)
    r = Relu(y)
    z = Gemm<transB=1>(r, w, b)
}}"""
STRANGE = f"""g (float[2, 4] x) => (float[2, 4] z) <{held("float[4] w", 4)}>
    {{ y = Mul(x, w) z = Shrink(y) }}"""

W, B, X, Y = 4 * 8 * 4, 8 * 4, 2 * 4 * 4, 2 * 8 * 4  # bytes of weight, bias, input, output


def test_the_peak_of_a_linear_layer_is_the_sum_of_what_is_alive(model: Write) -> None:
    found = graphmem.train(model(LINEAR), loss="mse")
    assert found.baseline == W + B + X + Y  # the target is as large as the output
    # output, losses (the scalar keeps their storage), seed, gradient of the output, then of weight and bias
    assert found.peak == found.baseline + Y + Y + 4 + Y + W + B
    assert (found.peak_phase, found.peak_operator, found.peak_node) == ("backward", "aten::sum", "AddmmBackward0")


def test_the_breakdown_adds_up_to_the_peak(model: Write) -> None:
    for optimizer in ("sgd", "adamw", "muon", "adam8bit", "adafactor"):
        found = graphmem.train(model(CHAIN), loss="mse", optimizer=optimizer)
        parts = dict(found.breakdown)
        parts.pop("workspace")
        assert sum(parts.values()) == found.peak == max(found.phase_peaks.values())


def test_adamw_keeps_two_states_and_a_counter(model: Write) -> None:
    sgd, adamw = (graphmem.train(model(LINEAR), loss="mse", optimizer=o) for o in ("sgd", "adamw"))
    assert adamw.baseline - sgd.baseline == 2 * (W + B) + 2 * 4


def test_foreach_holds_one_more_copy_of_the_parameters(model: Write) -> None:
    runs = [graphmem.train(model(LINEAR), loss="mse", optimizer="adamw", form=f) for f in ("fused", "foreach")]
    assert runs[1].phase_peaks["optimizer"] - runs[0].phase_peaks["optimizer"] == W + B


def test_a_frozen_parameter_has_no_gradient(model: Write) -> None:
    path = model(LINEAR)
    assert graphmem.train(path, loss="mse").peak - graphmem.train(path, loss="mse", freeze=["w"]).peak >= W


def test_freezing_everything_is_refused(model: Write) -> None:
    with pytest.raises(OptionError, match="freeze"):
        graphmem.train(model(LINEAR), loss="mse", freeze=["*"])


def test_an_operator_without_a_rule_is_an_upper_bound_and_says_so(model: Write) -> None:
    found = graphmem.train(model(STRANGE), loss="sum")
    assert found.exactness == "at most"
    assert [i.kind for i in found.issues] == ["unknown-rule"]


def test_a_fixed_batch_can_be_asked_for_at_another_size(model: Write) -> None:
    path = model(CHAIN)
    one, two = (graphmem.train(path, loss="sum", batch=b) for b in (2, 4))
    assert two.saved_bytes - 4 == 2 * (one.saved_bytes - 4)  # but for the loss


def test_cuda_reports_whole_blocks_and_segments(model: Write) -> None:
    found = graphmem.train(model(CHAIN), loss="mse", device="cuda")
    assert found.allocator is not None
    assert found.peak < found.allocator.allocated <= found.allocator.reserved


def test_the_document_follows_its_schema(model: Write) -> None:
    for device in ("cpu", "cuda"):
        found = graphmem.train(model(CHAIN), loss="mse", device=device)
        jsonschema.validate(training_document(found, timeline=True), json.loads(schema_text("training")))


def test_the_summary_names_peak_phases_and_saved_activations(model: Write) -> None:
    text = training_text(graphmem.train(model(CHAIN), loss="mse"), 80)
    for word in ("peak", "backward", "at the peak", "activations", "forward", "largest saved activations"):
        assert word in text


def test_the_command_prints_what_the_function_finds(model: Write) -> None:
    path = model(CHAIN)
    result = CliRunner().invoke(group, ["train", str(path), "--loss", "mse", "--format", "json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["peak_bytes"] == graphmem.train(path, loss="mse").peak


@pytest.mark.parametrize(("shape", "fits"), [("8", "mse, l1 or bce"), ("", "none, as for a model")])
def test_an_output_without_classes_is_refused_with_the_losses_that_fit(
    model: Callable[[str], Path], shape: str, fits: str
) -> None:
    made = "y = Squeeze(h, last)" if shape else "y = ReduceSum<keepdims = 0>(h)"
    text = f"""g (float[8, 4] x) => (float[{shape}] y) <{held("float[4, 1] w", 4)}, int64[1] last = {{1}}>
        {{ h = MatMul(x, w) {made} }}"""
    with pytest.raises(OptionError, match=rf"the outputs: 'y' \(float32\[{shape}\]\)\); give --loss {fits}"):
        graphmem.train(model(text.replace("float[] y", "float y")))
    assert graphmem.train(model(text.replace("float[] y", "float y")), loss="none").peak > 0
