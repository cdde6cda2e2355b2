"""The file against itself, and what is never reached: declared shapes, baked-in sizes, branches, values of inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import graphmem
from graphmem.ir.errors import ModelError, OptionError
from graphmem.ir.graph import exactness_of
from graphmem.reader import read

Write = Callable[..., Path]


def told(path: Path, **options: object) -> list[tuple[str, str, str]]:
    return [(i.kind, i.where, i.what) for i in read(path, **options).issues]  # type: ignore[arg-type]


# --- what the file declares ------------------------------------------------------------------------------------------


def test_a_declared_shape_that_is_not_the_computed_one_is_found_and_not_used(model: Write) -> None:
    path = model("g (float[2, 3] x) => (float[2, 3] y) <float[2, 4] r> { r = Relu(x) y = Neg(r) }")
    graph = read(path)
    assert str(graph.tensors["r"].type) == "float32[2, 3]"
    ((kind, where, what),) = told(path)
    assert (kind, where) == ("contradiction", "node 'r' (Relu)")
    assert (
        "'r' is declared as float32[2, 4] in the file but computed as float32[2, 3]; the computed shape is used" in what
    )


def test_what_follows_from_a_contradiction_is_no_finding_of_its_own(model: Write) -> None:
    path = model("g (float[n, 3] x) => (float[1, 3] y) <float[1, 3] r> { r = Relu(x) y = Neg(r) }")
    assert [issue.is_root for issue in read(path, {"n": 8}).issues] == [True, False]
    assert not read(path, {"n": 1}).issues


CUSTOM = """<ir_version: 8, opset_import: ["" : 17, "acme" : 1]>
    g (float[n, 64] x) => (float[{out}] y) <float[{out}] a> {{ a = acme.Magic (x) y = Relu(a) }}"""


@pytest.mark.parametrize(
    ("declared", "size", "type_"),
    [
        ("1, 64", 1, "float32[1, 64]"),  # the trace's own size
        ("1, 64", 8, "?[...]"),
        ("n, 64", 8, "float32[8, 64]"),  # declared for every size
        ("8, 32", 8, "float32[8, 32]"),
    ],
)
def test_a_shape_declared_by_a_trace_at_another_size_is_not_believed(
    model: Write, declared: str, size: int, type_: str
) -> None:
    graph = read(model(CUSTOM.format(out=declared)), {"n": size})
    assert str(graph.tensors["a"].type) == type_
    assert exactness_of(graph.issues) == ("at least" if type_ == "?[...]" else "exact")


def test_a_size_that_no_dimension_of_the_tensor_depends_on_makes_nothing_stale(model: Write) -> None:
    path = model("""<ir_version: 8, opset_import: ["" : 17, "acme" : 1]>
    g (float[4] x, float[n] z) => (float[4] y, float[n] w) <float[4] a> {
        a = acme.Magic (x) y = Relu(a) w = Relu(z) }""")
    assert str(read(path, {"n": 9}).tensors["a"].type) == "float32[4]"


@pytest.mark.parametrize(
    "body",
    [
        "<int64[2] target = {8, 12}> { y = Reshape(x, target) }",
        "<int64[3] target = {8, 3, 4}> { [grown] e = Expand(x, target) y = Add(e, x) }",
    ],
)
def test_a_batch_baked_into_a_constant_is_named_with_its_node_and_the_remedy(model: Write, body: str) -> None:
    path = model(f"g (float[n, 3, 4] x) => (float[a, b] y) {body}")
    with pytest.raises(ModelError) as error:
        read(path, {"n": 16})
    for part in ("the constant 'target' [8, ", "holds the 8 of the trace where 'n' is now 16", "bind n=8"):
        assert part in str(error.value)


def test_a_baked_in_batch_that_still_fits_is_found_too(model: Write) -> None:
    path = model("g (float[n, 3, 4] x) => (float[a, b] y) <int64[2] target = {8, -1}> { y = Reshape(x, target) }")
    ((kind, where, what),) = told(path, dims={"n": 16})
    assert (kind, where) == ("contradiction", "node 'y' (Reshape)")
    assert "holds the 8 of the trace" in what
    assert not told(path, dims={"n": 8})


# --- what cannot run at the sizes taken ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "<float[1, 1, 3] w = {1, 1, 1}> { y = Conv(x, w) }",
        "<int64[3] s = {1, 1, 2}> { y = Reshape(x, s) }",
        '<int64[6] p = {0, 0, 2, 0, 0, 2}> { y = Pad <mode = "reflect"> (x, p) }',
        "<int64[1] i = {3}> { y = Gather <axis = 2> (x, i) }",
    ],
)
def test_a_refusal_names_the_dimensions_that_were_taken_as_1(model: Write, body: str) -> None:
    path = model(f"g (float[1, 1, n] x) => (float[a, b, c] y) {body}")
    with pytest.raises(ModelError, match=r"'n' was free and taken as 1: bind with --dim n=N"):
        read(path)


# --- branches --------------------------------------------------------------------------------------------------------

IF = """g ({condition}float[n, 4] x) => (float[a, b] y) <float[4, 3] w = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
    int64 four = {{4}}, int64 zero = {{0}}> {{
    {made}
    [pick] y = If (c) <then_branch = t () => (float[a, b] p) {{ p = MatMul(x, w) }},
                else_branch = e () => (float[a, b] q) {{ q = {other} }}> }}"""


def test_a_branch_that_cannot_run_is_left_out_and_said(model: Write) -> None:
    path = model(IF.format(condition="bool c, ", made="", other="MatMul(w, x)"))
    graph = read(path, {"n": 5})
    assert str(graph.tensors["y"].type) == "float32[5, 3]"
    ((kind, where, what),) = told(path, dims={"n": 5})
    assert (kind, where) == ("branch", "node 'pick' (If)")
    assert "else branch cannot run at these sizes (node 'q' (MatMul)" in what
    assert graph.tensors["w"].role == "weight"


def test_both_branches_that_cannot_run_refuse_the_model(model: Write) -> None:
    path = model(IF.format(condition="bool c, ", made="", other="MatMul(w, x)").replace("MatMul(x, w)", "MatMul(x, x)"))
    with pytest.raises(ModelError, match="MatMul"):
        read(path, {"n": 5})


@pytest.mark.parametrize(
    ("made", "type_"),
    [
        ("s = Shape(x) r = Gather(s, zero) c = Equal(r, four)", "float32[4, 3]"),
        ("s = Shape(x) r = Gather(s, zero) d = Less(r, four) c = Not(d)", "float32[4, 3]"),
        ("s = Shape(x) r = Gather(s, zero) c = Less(r, four)", "float32[4, 4]"),
    ],
)
def test_a_condition_that_follows_from_bound_shapes_is_decided(model: Write, made: str, type_: str) -> None:
    path = model(IF.format(condition="", made=made, other="Relu(x)"))
    graph = read(path, {"n": 4})
    assert str(graph.tensors["y"].type) == type_
    assert [issue.kind for issue in graph.issues] == ["branch"]


@pytest.mark.parametrize(("branch", "type_"), [("then", "float32[5, 3]"), ("else", "float32[5, 4]")])
@pytest.mark.parametrize("name", ["pick", "y"])
def test_the_caller_chooses_the_branch(model: Write, name: str, branch: str, type_: str) -> None:
    path = model(IF.format(condition="bool c, ", made="", other="Relu(x)"))
    graph = read(path, {"n": 5}, branches={name: branch})
    assert str(graph.tensors["y"].type) == type_
    assert [(issue.kind, issue.effect) for issue in graph.issues] == [("branch", "exact")]


@pytest.mark.parametrize(("value", "type_"), [(True, "float32[5, 3]"), (False, "float32[5, 4]")])
def test_the_value_of_an_input_decides(model: Write, value: bool, type_: str) -> None:
    path = model(IF.format(condition="bool c, ", made="", other="Relu(x)"))
    graph = read(path, {"n": 5}, inputs={"c": value})
    assert str(graph.tensors["y"].type) == type_
    assert graph.tensors["c"].role == "input"
    assert graph.issues[0].what == f"is {str(value).lower()}, as given"


def test_the_value_of_an_input_says_a_shape(model: Write) -> None:
    path = model("g (float[6] x, int64[2] s) => (float[a, b] y) { y = Reshape(x, s) }")
    assert str(read(path, inputs={"s": [2, 3]}).tensors["y"].type) == "float32[2, 3]"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"branches": {"pick": "both"}}, "a branch is 'then' or 'else'"),
        ({"branches": {"nowhere": "then"}}, "the model has no If named 'nowhere'"),
        ({"inputs": {"nowhere": 1}}, "the model has no input named 'nowhere'"),
        ({"inputs": {"x": 1}}, "neither integers nor booleans"),
        ({"inputs": {"c": [1, 0]}}, "has 1 elements, not 2"),
    ],
)
def test_options_that_fit_nothing(model: Write, options: dict[str, object], reason: str) -> None:
    path = model(IF.format(condition="bool c, ", made="", other="Relu(x)"))
    with pytest.raises(OptionError, match=reason):
        read(path, {"n": 5}, **options)  # type: ignore[arg-type]


# --- loops, dictionaries, weights as they are kept -------------------------------------------------------------------

MAP = """g (float[b, 4] x) => (float[n, m] y) <int64 most = {{9223372036854775807}}, int64 zero = {{0}},
    int64 one = {{1}}, int64[1] axis = {{0}}> {{
    s = Shape(x) count = Gather(s, zero) go = Less(zero, count)
    [rows] last, y = Loop (most, go, zero) <
        body = body (int64 trip, bool on, int64 i) => (bool c, int64 j, float[m] row) {{
        j = Add(i, one) {condition} p = Unsqueeze(i, axis) r = Gather(x, p) row = Squeeze(r, axis) }}> }}"""


def test_a_loop_of_2_to_the_63_trips_ends_by_its_condition(model: Write) -> None:
    graph = read(model(MAP.format(condition="c = Less(j, count)")), {"b": 3})
    assert str(graph.tensors["y"].type) == "float32[3, 4]"
    assert not graph.issues


def test_a_loop_whose_end_the_data_decide_asks_for_its_trips(model: Write) -> None:
    path = model(MAP.format(condition="v = ReduceSum <keepdims = 0> (x) w = Cast <to = 7> (v) c = Less(j, w)"))
    graph = read(path, {"b": 3})
    assert str(graph.tensors["y"].type) == "float32[?, 4]"
    assert any("--trip-count rows=N" in issue.what for issue in graph.issues)


def test_a_list_of_dictionaries_lies_outside_every_figure(model: Write) -> None:
    path = model("""<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]>
    g (float[3, 2] x) => (seq(map(int64, float)) y) {
        y = ai.onnx.ml.ZipMap <classlabels_int64s = [5, 6]> (x) }""")
    graph = read(path)
    assert [(issue.kind, issue.effect) for issue in graph.issues] == [("outside", "exact")]


def test_a_layer_norm_is_known_below_its_opset(model: Write) -> None:
    path = model("""<ir_version: 8, opset_import: ["" : 13]> g (float[2, 8] x) => (float[2, 8] y) {
        w = Constant <value = float[8] {1, 1, 1, 1, 1, 1, 1, 1}> () y = LayerNormalization(x, w) }""")
    assert str(read(path).tensors["y"].type) == "float32[2, 8]"


def test_a_quantized_weight_counts_once_as_it_is_kept(model: Write) -> None:
    path = model("""<ir_version: 8, opset_import: ["" : 17]>
    g (float[2, 4] x) => (float[2, 3] y) <float s = {0.5}> {
        w = Constant <value = int8[3, 4] {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}> ()
        d = DequantizeLinear(w, s) t = Transpose(d) y = MatMul(x, t) }""")
    analysis = graphmem.analyze(path)
    assert analysis.model.weight_bytes == 12 + 4  # w and its scale; neither d nor t
    ((kind, what),) = [(issue.kind, issue.what) for issue in analysis.issues]
    assert kind == "packed"
    assert f"adds {2 * 12 * 4} bytes" in what
