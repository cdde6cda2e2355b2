"""What a file may cause beyond its own size: loops, values and functions that multiply end in an answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from graphmem.ir.budget import NODE, STEPS, Budget, SpentError
from graphmem.ir.errors import ModelError
from graphmem.reader import read
from graphmem.reader.infer import NodeTyper
from graphmem.reader.values import Value

Writer = Callable[..., Path]


@given(st.lists(st.integers(0, 400)))
def test_no_more_is_taken_than_there_is(requests: list[int]) -> None:
    budget = Budget(steps=1_000)
    taken = [steps for steps in requests if budget.take(steps)]
    assert budget.steps == 1_000 - sum(taken) >= 0


def test_an_attempt_leaves_half_of_the_steps() -> None:
    budget = Budget(steps=1_000)
    with budget.attempt():
        while budget.take(7):
            pass
        with pytest.raises(SpentError):
            budget.draw(7)
    assert 500 <= budget.steps < 507
    assert not budget.attempts


def loops(depth: int, trips: int) -> str:
    """Loops in loops, each of as many trips."""
    body = "TO = Relu (FROM)"
    for level in range(depth):
        inputs = f"(int64 i{level}, bool c{level}, float[2] a{level})"
        step = body.replace("FROM", f"a{level}").replace("TO", f"d{level}")
        inner = f"b{level} {inputs} => (bool e{level}, float[2] d{level}) {{ e{level} = Identity (c{level})  {step} }}"
        body = f"n{level} = Constant <value = int64 {{{trips}}}> ()  TO = Loop <body = {inner}> (n{level}, , FROM)"
    return body.replace("FROM", "a").replace("TO", "d")


@pytest.mark.parametrize(("depth", "trips"), [(1, 1_000), (3, 60), (5, 400), (6, 2_000)])
def test_loops_in_loops_end(model: Writer, depth: int, trips: int) -> None:
    text = f"g (float[2] a) => (float[2] d) {{ {loops(depth, trips)} }}"
    graph = read(model(text))
    assert str(graph.tensors["d"].type) == "float32[2]"


def test_what_ran_out_is_said(model: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphmem.reader.walk.WALKS", 0)
    monkeypatch.setattr("graphmem.reader.NodeTyper", partial(NodeTyper, budget=Budget(steps=NODE)))
    graph = read(model(f"g (float[2] a) => (d) {{ {loops(1, 3)} }}"))
    assert any("more work than one file may ask for" in issue.what for issue in graph.issues)


def typed(op_type: str, *arrays: object, **attributes: object) -> tuple[NodeTyper, object]:
    typer = NodeTyper({"": 17}, 8)
    values = [Value.exactly(np.asarray(array)) for array in arrays]
    names = [f"i{i}" for i in range(len(values))]
    from graphmem.ir.types import TensorType

    types = [TensorType("string" if v.low.dtype.kind in "OU" else v.low.dtype.name, v.low.shape) for v in values]
    found = typer.outputs(helper.make_node(op_type, names, ["o"], **attributes), types, values)
    return typer, found[1][0]


def test_a_value_takes_steps_and_bytes() -> None:
    typer, value = typed("Add", np.arange(60_000), np.arange(60_000))
    assert value is not None
    assert typer.budget.nbytes == Budget().nbytes - 8 * 60_000
    assert STEPS - typer.budget.steps > 0.05 * 180_000


@pytest.mark.parametrize("op_type", ["Conv", "MaxPool", "AveragePool", "Resize", "Einsum", "RegexFullMatch", "Col2Im"])
def test_what_takes_no_one_knows_how_long_is_never_run(op_type: str) -> None:
    from graphmem.reader.evaluate import WORK

    assert op_type not in WORK


def test_an_axis_of_no_elements_hides_no_work(model: Writer) -> None:
    graph = read(
        model("""g (float[1] x) => (y) { i = Constant <value = int64[0] {}> ()
      d = Constant <value = int64 {4000000000}> ()  v = Constant <value = int64[2] {0, 1}> ()
      y = OneHot (i, d, v) }""")
    )
    assert str(graph.tensors["y"].type) == "int64[0, 4000000000]"


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ("a, b, c = Split <num_outputs = 2> (x)", "num_outputs says 2 parts"),
        ("a, b = Split <num_outputs = 1> (x)", "num_outputs says 1 parts"),
        ("n = NonZero (x)  s = Constant <value = int64[3] {0, 0, 0}> ()  a = Reshape (n, s)", "cannot take"),
        ("n = NonZero (x)  s = Constant <value = int64[1] {-2}> ()  a = Reshape (n, s)", "a list of sizes"),
        ("a = Transpose <perm = 1.5> (x)", "another kind of value"),
        ("a = Concat <axis = [0]> (x, x)", "another kind of value"),
    ],
)
def test_what_its_operator_does_not_allow_is_refused(model: Writer, nodes: str, words: str) -> None:
    path = model(f'<ir_version: 8, opset_import: ["" : 18]> g (float[4] x) => (a) {{ {nodes} }}')
    with pytest.raises(ModelError, match=words):
        read(path)


@pytest.mark.parametrize("count", ["uint64", "float", "int32"])
def test_a_loop_counts_in_int64(model: Writer, count: str) -> None:
    with pytest.raises(ModelError, match="cannot be"):
        read(
            model(f"""g (float[2] x) => (float[2] y) {{ n = Constant <value = {count} {{3}}> ()
          y = Loop <body = b (int64 i, bool c, float[2] a) => (bool d, float[2] e) {{
            d = Identity (c)  e = Relu (a) }}> (n, , x) }}""")
        )


def test_functions_that_multiply_in_bytes_are_refused(tmp_path: Path) -> None:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("l", 1)]
    big = numpy_helper.from_array(np.zeros(1 << 20, np.uint8))
    nodes = [helper.make_node("Constant", [], ["c"], value=big), helper.make_node("Identity", ["a"], ["b"])]
    own = helper.make_function("l", "f", ["a"], ["b"], nodes, opsets)
    calls = [helper.make_node("f", [f"x{i}"], [f"x{i + 1}"], domain="l") for i in range(300)]
    graph = helper.make_graph(
        calls, "g", [helper.make_tensor_value_info("x0", TensorProto.FLOAT, [2])], [onnx.ValueInfoProto(name="x300")]
    )
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=[own]), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="expand to more than 268,435,456 bytes"):
        read(tmp_path / "m.onnx")


def test_a_text_of_quotes_without_end_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "m.pbtxt"
    path.write_text('"' + '\\"' * 200_000)
    with pytest.raises(ModelError, match="not valid ONNX text"):
        read(path)


def test_strange_dimensions_and_scopes_warn_nobody(model: Writer, recwarn: pytest.WarningsRecorder) -> None:
    proto = onnx.load(model("g (float[2] x) => (float[2] y) { y = Relu (x) }"))
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "0x10for 1"
    proto.graph.node[0].metadata_props.add(key="pkg.torch.onnx.name_scopes", value="['', '\\d', '']")
    onnx.save(proto, model("g (float[2] x) => (float[2] y) { y = Relu (x) }"))
    graph = read(model("g (float[2] x) => (float[2] y) { y = Relu (x) }").parent / "model.onnx")
    assert len(graph.nodes) == 1
    assert not recwarn.list


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ('a = Resize <mode = "floor"> (x, , s)', "mode cannot be 'floor'"),
        ('a = Pad <mode = "zeros"> (x, p)', "mode cannot be 'zeros'"),
        ('a = Gelu <approximate = "erf"> (x)', "approximate cannot be 'erf'"),
        ('a = Einsum <equation = "i1->i"> (x)', "equation 'i1->i'"),
    ],
)
def test_a_text_that_no_specification_lists_is_refused(model: Writer, node: str, words: str) -> None:
    constants = "s = Constant <value = float[1] {2.0}> ()  p = Constant <value = int64[2] {1, 1}> ()"
    with pytest.raises(ModelError, match=words):
        read(model(f'<ir_version: 9, opset_import: ["" : 20]> g (float[4] x) => (a) {{ {constants}  {node} }}'))


@pytest.mark.parametrize(
    "nodes",
    [
        "n = NonZero (x)  s = Shape (n)  m = Constant <value = int64[2] {4294967296, 4294967296}> ()  a = Size (x)",
        "n = NonZero (x)  s = Shape (n)  t = Constant <value = int64[3] {1, 2, 3}> ()  a = Equal (s, t)",
    ],
)
def test_values_that_do_not_go_together_are_no_crash(model: Writer, nodes: str) -> None:
    with suppress(ModelError):
        read(model(f"g (float[4] x) => (a) {{ {nodes} }}"))


def test_a_size_beyond_64_bits_is_not_known(model: Writer) -> None:
    graph = read(
        model("g (float[4294967296, 4294967296, 0] e, float[2147483648, 536870912] x) => (a) { a = Size (x) }")
    )
    assert int(graph.values["a"]) == 2**60
