from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import graphmem
from graphmem.api.analyze import analyze
from graphmem.ir.errors import ModelError
from graphmem.ir.execution import Execution
from graphmem.ir.memory import Lifetime, Plan
from graphmem.ir.types import SequenceType, TensorType
from graphmem.measure.execute import execute
from graphmem.planner import plan as plan_of
from graphmem.reader.load import load
from graphmem.schedule.inference_figures import inference
from tests.conftest import Finished
from tests.oracle import networks

Model = Callable[..., Path]
MODELS = Path(__file__).parents[2] / "models"

RUNNABLE = {
    "chain": "g (float[4] x) => (float[4] y) { a = Relu(x) b = Add(a, x) y = Neg(b) }",
    "view": "g (float[2,6] x) => (float[12] y) { s = Constant<value_ints=[12]>() a = Reshape(x, s) y = Exp(a) }",
    "view of a view as output": "g (float[2,6] x) => (float[1,12] z, float[12] y) "
    "{ s = Constant<value_ints=[12]>() y = Reshape(x, s) zero = Constant<value_ints=[0]>() z = Unsqueeze(y, zero) }",
    "weights and what is computed from them": "g (float[2,3] x) => (float[2,3] y) "
    "<float[3,3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9}> "
    "{ t = Transpose(w) a = MatMul(x, w) y = MatMul(a, t) }",
    "branch that captures": "g (bool c, float[4] x) => (float[4] y) { a = Relu(x) "
    "y = If(c) <then_branch = t () => (float[4] p) { p = Add(a, x) }, "
    "else_branch = e () => (float[4] q) { q = Neg(a) }> }",
    "loop": "g (float[4] x) => (float[4] y) { n = Constant<value_int=3>() c = Constant<value=bool {1}>() "
    "y = Loop(n, c, x) <body = b (int64 i, bool k, float[4] v) => (bool k2, float[4] v2) "
    "{ k2 = Identity(k) v2 = Add(v, x) }> }",
    "two outputs": "g (float[6] x) => (float[2] v, int64[2] i) { k = Constant<value_ints=[2]>() v, i = TopK(x, k) }",
    "nothing": "g (float[0] x) => (float[0] y) { y = Relu(x) }",
    "half and whole": "g (float16[4] x, int32[4] i) => (float16[4] y) { f = Cast<to=10>(i) y = Add(x, f) }",
    "input unread, output given": "g (float[4] x, float[3] u) => (float[4] y, float[4] z) "
    "{ z = Identity(x) y = Neg(x) }",
}


def executed(path: Path, **options: str) -> Execution:
    return graphmem.execute(path, **options)[1]  # type: ignore[arg-type]


@pytest.mark.parametrize("memory_model", ["plain", "views", "inplace"])
@pytest.mark.parametrize("name", RUNNABLE)
def test_outputs_are_those_of_an_ordinary_run(model: Model, name: str, memory_model: str) -> None:
    result = executed(model(RUNNABLE[name]), memory_model=memory_model)
    assert result.is_faithful
    assert not result.copied


@pytest.mark.parametrize("name", ["tiny_cnn", "tiny_if", "tiny_lstm"])
@pytest.mark.parametrize("order", ["file", "memory"])
def test_networks_run_in_their_arena(name: str, order: str) -> None:
    plan, result = graphmem.execute(MODELS / f"{name}.onnx", batch=2, order=order)
    assert (result.is_faithful, result.arena, result.filled) == (True, plan.arena, 0)


@pytest.mark.parametrize("name", ["resnet_legacy_static", "vit_dynamo_static", "lstm_legacy_dyn", "light_squeezenet"])
def test_measured_networks_run_in_their_arena_with_weights_made_up(name: str) -> None:
    networks.truth()
    path = networks.path_of(name)
    assert graphmem.execute(path, networks.dims_of(name, onnx.load(path, load_external_data=False)))[1].is_faithful


def broken(path: Path, **offsets: int) -> Execution:
    """The execution of a plan that is wrong: the named buffers moved."""
    analysis = analyze(path)
    plan = graphmem.plan(path)
    moved = [replace(p, offset=offsets.get(p.lifetime.buffer, p.offset)) for p in plan.placements]
    wrong = Plan("by hand", tuple(moved), plan.lower_bound, 64)
    run = analysis.inference
    return execute(load(path), path.parent, analysis.graph, analysis.graph.steps, run.schedule, wrong, 0)


def test_a_plan_that_overlaps_is_caught_and_the_first_wrong_node_named(model: Model) -> None:
    path = model("g (float[4] x) => (float[4] y) { a = Neg(x) b = Exp(a) c = Mul(x, b) y = Add(a, c) }")
    apart = broken(path, x=0, a=64, b=128, c=192, y=0)
    assert apart.is_faithful
    wrong = broken(path, x=0, a=64, b=0, c=128, y=192)  # b is written over x, which c still reads
    assert wrong.difference is not None
    assert (wrong.difference.tensor, wrong.difference.operator, wrong.difference.step) == ("c", "Mul", 2)


def test_an_output_overwritten_after_it_was_right_is_caught(model: Model) -> None:
    path = model("g (float[4] x) => (float[4] y, float[4] z) { y = Neg(x) z = Exp(x) }")
    result = broken(path, x=0, y=64, z=64)
    assert result.difference is not None
    assert (result.difference.tensor, result.difference.operator) == ("y", "")


def test_a_write_outside_the_arena_is_caught(model: Model) -> None:
    path = model("g (float[4] x) => (float[4] y) { a = Neg(x) y = Exp(a) }")
    analysis, plan = analyze(path), graphmem.plan(path)
    first, *rest = plan.placements
    low = [replace(first, offset=0), *(replace(p, offset=-64) for p in rest)]
    wrong = Plan("by hand", tuple(low), 0, 64)
    run = analysis.inference
    result = execute(load(path), path.parent, analysis.graph, analysis.graph.steps, run.schedule, wrong, 0)
    assert not result.guards_intact


def test_a_lifetime_that_ends_too_early_is_caught(model: Model) -> None:
    path = model("g (float[4] x) => (float[4] y) { a = Neg(x) b = Exp(a) y = Add(b, a) }")
    analysis, plan = analyze(path), graphmem.plan(path)
    short = [replace(p, lifetime=Lifetime("a", 16, 0, 2)) if p.lifetime.buffer == "a" else p for p in plan.placements]
    wrong = Plan("by hand", tuple(short), 0, 64)
    run = analysis.inference
    result = execute(load(path), path.parent, analysis.graph, analysis.graph.steps, run.schedule, wrong, 0)
    assert result.difference is not None
    assert result.difference.tensor == "y"


def test_a_shape_that_the_data_decide_is_copied_to_its_place(model: Model) -> None:
    path = model("g (float[8] x) => (int64[1,k] y) { a = Relu(x) n = NonZero(a) y = Neg(n) }")
    result = executed(path)
    assert result.is_faithful
    assert result.copied == ("n", "y")


def test_a_sequence_stays_outside_the_arena(model: Model) -> None:
    path = model("""g (float[4] x) => (float[8] y)
    { s = SequenceConstruct(x, x) c = ConcatFromSequence<axis=0>(s) y = Neg(c) }""")
    graph, row = analyze(path).graph, TensorType("float32", (4,))
    typed = {"s": SequenceType(row, (row, row)), "c": TensorType("float32", (8,)), "y": TensorType("float32", (8,))}
    graph = replace(graph, tensors={n: replace(t, type=typed.get(n, t.type)) for n, t in graph.tensors.items()})
    run = inference(graph, "views", "file")
    result = execute(load(path), path.parent, graph, graph.steps, run.schedule, plan_of(run.lifetimes), 0)
    assert result.is_faithful
    assert (result.outside, result.bound) == (("s",), 2)


def test_absent_weights_are_made_up_and_present_ones_read(model: Model, tmp_path: Path) -> None:
    path = model("g (float[2,3] x) => (float[2,4] y) <float[3,4] w> { y = MatMul(x, w) }")
    proto = onnx.load(path)
    proto.graph.initializer.append(
        onnx.helper.make_tensor("w", 1, [3, 4], np.arange(12, dtype=np.float32).tobytes(), raw=True)
    )
    onnx.save(proto, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    assert (executed(path).is_faithful, executed(path).filled) == (True, 0)
    (tmp_path / "w.bin").unlink()
    assert (executed(path).is_faithful, executed(path).filled) == (True, 3 * 4 * 4)


def test_what_onnxruntime_refuses_is_one_clear_error(model: Model) -> None:
    path = model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[4] x, int64[1] i) => (float[1] y) '
        "{ far = Constant<value_ints=[9]>() j = Add(i, far) y = Gather(x, j) }"
    )
    with pytest.raises(ModelError, match="out of data bounds"):
        executed(path)


def test_the_command_prints_the_verdict(graphmem_command: Callable[..., Finished], model: Model) -> None:
    result = graphmem_command("plan", model(RUNNABLE["chain"]), "--execute")
    assert result.code == 0
    assert "executed outputs equal bit for bit to an ordinary run (1 compared)\nguards   intact\n" in result.out


def test_json_carries_the_execution(graphmem_command: Callable[..., Finished], model: Model) -> None:
    document = json.loads(graphmem_command("plan", model(RUNNABLE["chain"]), "--execute", "--format", "json").out)
    assert document["execution"]["faithful"] is True
    assert document["execution"]["arena_bytes"] == document["arena_bytes"] == 3 * 64  # x + a + b


def test_lifetimes_alone_cannot_be_executed(graphmem_command: Callable[..., Finished], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,lower,upper,size\na,0,1,8\n")
    assert graphmem_command("plan", "--lifetimes", tmp_path / "rows.csv", "--execute").code == 2
