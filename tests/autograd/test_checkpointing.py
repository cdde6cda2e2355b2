"""Checkpointed module calls in the simulated step: what is let go, held and run again; patterns; costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

import graphmem
from graphmem.autograd.saved_hooks import RANDOM_STATE
from graphmem.autograd.segments import blocks, module_calls, segments_of
from graphmem.autograd.tape import Tape
from graphmem.ir.errors import OptionError
from graphmem.ir.options import TrainingOptions
from graphmem.ir.training import Training
from graphmem.raising import raised
from graphmem.reader import read
from graphmem.schedule.eager import training_trace

MODELS = Path(__file__).parents[2] / "models"
ROWS, WIDTH, INNER = 64, 16, 32
OUTER_BYTES, INNER_BYTES = ROWS * WIDTH * 4, ROWS * INNER * 4
NAMES = ["/l.0/up", "/l.0/act", "/l.0/down", "/l.1/up", "/l.1/act", "/l.1/down"]


def _weights() -> str:
    held = []
    for layer in range(2):
        held += [f"float[{WIDTH}, {INNER}] u{layer} = {{{', '.join(['1'] * (WIDTH * INNER))}}}"]
        held += [f"float[{INNER}, {WIDTH}] d{layer} = {{{', '.join(['1'] * (WIDTH * INNER))}}}"]
    return ", ".join(held)


TEXT = f"""g (float[{ROWS}, {WIDTH}] x) => (float[{ROWS}, {WIDTH}] z) <{_weights()}> {{
    a = MatMul(x, u0) b = Relu(a) c = MatMul(b, d0) e = MatMul(c, u1) f = Relu(e) z = MatMul(f, d1)
}}"""


@pytest.fixture
def mlp(model: Callable[..., Path]) -> Path:
    """Two blocks of two products each, their nodes named as the TorchScript exporter names them."""
    path = model(TEXT)
    proto = onnx.load(path)
    for node, name in zip(proto.graph.node, NAMES, strict=True):
        node.name = f"{name}/{node.op_type}"
    onnx.save(proto, path)
    return path


def _again(found: Training) -> list[str]:
    """What the backward pass computes again: forward operators that allocate there."""
    rows = [(s.operator, s.phase) for s in found.schedule.steps if s.writes]
    return [operator for operator, phase in rows if phase == "backward" and operator in ("aten::relu", "aten::linear")]


def test_a_checkpoint_lets_go_of_the_inside_and_keeps_inputs_and_random_state(mlp: Path) -> None:
    plain, wrapped = (graphmem.train(mlp, loss="mse", checkpoint=spec) for spec in ((), ("l.*",)))
    # both hidden values go; of the inputs x is the caller's, and c is saved either way
    assert plain.saved_bytes - wrapped.saved_bytes == 2 * INNER_BYTES - 2 * RANDOM_STATE


def test_recomputation_stops_at_the_last_tensor_that_is_needed(mlp: Path) -> None:
    names = _again(graphmem.train(mlp, loss="mse", checkpoint=["l.*"]))
    assert names == ["aten::linear", "aten::relu"] * 2  # the second product of a block is not: nothing saves its result


def test_a_kept_product_is_not_computed_again(mlp: Path) -> None:
    found = graphmem.train(mlp, loss="mse", checkpoint=["l.*:keep=mm#0"])
    assert _again(found) == ["aten::relu"] * 2
    plain = graphmem.train(mlp, loss="mse", checkpoint=["l.*"])
    assert found.saved_bytes - plain.saved_bytes == 2 * INNER_BYTES


def test_a_kept_product_that_nothing_needs_is_held_all_the_same(mlp: Path) -> None:
    one, both = (graphmem.train(mlp, loss="mse", checkpoint=[f"l.1:keep={k}"]) for k in ("mm#0", "mm"))
    assert both.saved_bytes == one.saved_bytes  # the model's output is alive in any case


def test_the_random_state_of_a_gpu_is_not_in_its_memory(mlp: Path) -> None:
    cuda = [graphmem.train(mlp, loss="mse", device="cuda", checkpoint=c) for c in ((), ("l.*",))]
    assert cuda[0].saved_bytes - cuda[1].saved_bytes == 2 * INNER_BYTES


def test_without_a_module_to_wrap_nothing_changes() -> None:
    path = MODELS / "tiny_gpt.onnx"
    plain = graphmem.train(path, dims={"sequence": 8}, batch=2)
    assert graphmem.train(path, dims={"sequence": 8}, batch=2, checkpoint=()).peak == plain.peak


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("nowhere.*", "matches no module of the file; there are l, l.0"),
        ("every:0", "must be 1 or more"),
        ("every:two", "must be 1 or more"),
        ("l.*:keep=relu", "cannot keep 'relu'; it is one of mm, addmm"),
    ],
)
def test_a_wrong_spec_says_what_there_is(mlp: Path, spec: str, complaint: str) -> None:
    with pytest.raises(OptionError, match=complaint.replace("*", r"\*")):
        graphmem.train(mlp, loss="mse", checkpoint=[spec])


def test_overlapping_specs_are_one_wrap_each(mlp: Path) -> None:
    twice = graphmem.train(mlp, loss="mse", checkpoint=["l.0", "l.*"])
    assert twice.peak == graphmem.train(mlp, loss="mse", checkpoint=["l.*"]).peak


@pytest.mark.parametrize(
    ("file", "count", "first"),
    [
        ("resnet50", 16, "layer1.0"),
        ("gpt2", 12, "transformer.h.0"),
        ("vit", 12, "vit.layers.0"),
        ("bert", 12, "encoder.layer.0"),
        ("resnet50_torchscript", 16, "layer1.0"),
        ("vgg16", 0, ""),
    ],
)
def test_blocks_are_what_repeats(file: str, count: int, first: str) -> None:
    graph = read(MODELS / f"{file}.onnx", {}, is_strict=False, trips=None, shapes=None, batch=None)
    calls = module_calls(raised(graph))
    found = blocks(calls)
    assert len(found) == count
    assert [c.scope for c in found][:1] == ([first] if first else [])


def test_segments_of_every_second_block_and_of_sqrt() -> None:
    graph = read(MODELS / "gpt2.onnx", {}, is_strict=False, trips=None, shapes=None, batch=None)
    program = raised(graph)
    assert [s.scope for s in segments_of(program, ["every:5"])] == [f"transformer.h.{i}" for i in (0, 5, 10)]
    groups = [f"transformer.h.{i} to transformer.h.{i + 3}" for i in (0, 4)]  # 4 by 4; the last four are not
    assert [s.scope for s in segments_of(program, ["sqrt"])] == groups


def test_the_cost_of_a_step_is_the_sum_of_its_calls(mlp: Path) -> None:
    graph = read(mlp, {}, is_strict=False, trips=None, shapes=None, batch=None)
    tape = Tape()
    settings = TrainingOptions(loss="none", optimizer="sgd", form="single", device="cpu")
    training_trace(raised(graph), settings, tape=tape)
    product = 2 * ROWS * WIDTH * INNER
    moved = 10 * (OUTER_BYTES + INNER_BYTES + WIDTH * INNER * 4)  # here more than its FLOPs
    relu = 10 * 2 * INNER_BYTES
    assert product < moved
    forward = [e.cost for e in tape.entries if e.kind == "forward" and e.cost]
    assert forward == [moved, relu, moved, moved, relu, moved, 10 * (OUTER_BYTES + 4)]  # and the sum of the loss
