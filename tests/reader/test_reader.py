"""ONNX text -> Graph: types, dimensions, known values, origins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from graphmem.ir.errors import ModelError, OptionError
from graphmem.ir.types import BoundedType, TensorType, UnknownType
from graphmem.reader import read
from graphmem.reader.dims import evaluated
from tests.conftest import HEADER

Write = Callable[..., Path]


def types(graph_path: Path, *names: str, **options: object) -> list[str]:
    graph = read(graph_path, **options)  # type: ignore[arg-type]
    return [str(graph.tensors[name].type) for name in names]


def test_shape_arithmetic_is_evaluated_exactly(model: Write) -> None:
    path = model("""g (float[batch, 12, 64] x) => (float[a, b] y) <int64[1] minus = {-1}, int64 zero = {0}> {
        s = Shape(x)
        b = Gather <axis = 0> (s, zero)
        axes = Constant <value = int64[1] {0}> ()
        b1 = Unsqueeze(b, axes)
        target = Concat <axis = 0> (b1, minus)
        y = Reshape(x, target)
    }""")
    graph = read(path, {"batch": 8})
    assert graph.tensors["y"].type == TensorType("float32", (8, 12 * 64))
    assert graph.values["target"].tolist() == [8, -1]


def test_what_is_fixed_before_the_run_counts_with_the_weights(model: Write) -> None:
    path = model("""g (float[4] x) => (float[4] y) <float[4] w = {1, 2, 3, 4}> {
        w2 = Neg(w)
        y = Add(x, w2)
    }""")
    graph = read(path)
    assert {name: tensor.role for name, tensor in graph.tensors.items()} == {
        "w": "weight",
        "x": "input",
        "w2": "weight",
        "y": "activation",
    }
    assert [node.op_type for node in graph.steps] == ["Add"]


def test_random_nodes_are_never_weights(model: Write) -> None:
    path = model("g (float[2] x) => (float[2] y) { r = RandomNormal <shape = [2]> () y = Add(x, r) }")
    assert [node.op_type for node in read(path).steps] == ["RandomNormal", "Add"]


def test_local_functions_are_inlined(model: Write) -> None:
    path = model("""<ir_version: 8, opset_import: ["" : 17, "mine" : 1]>
    g (float[2, 3] x) => (float[2, 3] y) { y = mine.twice (x) }
    <domain: "mine", opset_import: ["" : 17]> twice (a) => (b) { b = Add(a, a) }""")
    assert [node.op_type for node in read(path).nodes] == ["Add"]


def test_a_function_that_calls_itself_is_refused(model: Write) -> None:
    path = model("""<ir_version: 8, opset_import: ["" : 17, "mine" : 1]>
    g (float[2] x) => (float[2] y) { y = mine.loop (x) }
    <domain: "mine", opset_import: ["" : 17, "mine" : 1]> loop (a) => (b) { b = mine.loop (a) }""")
    with pytest.raises(ModelError, match="'loop' calls itself"):
        read(path)


# --- dimensions ------------------------------------------------------------------------------------------------------

TWO_DIMS = "g (float[batch, seq] x, float[batch, 1] m) => (float[batch, seq] y) { y = Mul(x, m) }"


def test_a_free_dimension_is_one_and_noted(model: Write) -> None:
    graph = read(model(TWO_DIMS))
    assert str(graph.tensors["y"].type) == "float32[1, 1]"
    assert [(issue.kind, issue.where) for issue in graph.issues] == [("free-dimension", "x"), ("free-dimension", "x")]


def test_a_free_dimension_is_refused_when_strict(model: Write) -> None:
    with pytest.raises(OptionError, match="'batch' of input 'x' is free; bind it with --dim batch=N"):
        read(model(TWO_DIMS), is_strict=True)


def test_batch_binds_the_leading_dimension_and_says_so(model: Write) -> None:
    graph = read(model(TWO_DIMS), {"seq": 5}, batch=3)
    assert str(graph.tensors["y"].type) == "float32[3, 5]"
    assert [issue.what for issue in graph.issues] == ["dimension 'batch' is the batch: 3"]


def test_batch_binds_the_leading_dimension_of_every_input(model: Write) -> None:
    text = "g (float[s10, s12] x, float[s86, s12] m, float[s12] p) => (float[a, s12] y) { z = Mul(x, m) y = Add(z, p) }"
    assert types(model(text), "x", "m", "p", dims={"s12": 4}, batch=2) == [
        "float32[2, 4]",
        "float32[2, 4]",
        "float32[4]",
    ]


def test_a_static_batch_can_be_overridden_by_axis_only(model: Write) -> None:
    path = model("g (float[1, 3] x) => (float[1, 3] y) { y = Relu(x) }")
    with pytest.raises(OptionError, match=r"force it with --dim x:0=8"):
        read(path, batch=8)
    assert types(path, "y", dims={"x:0": 8}) == ["float32[8, 3]"]


def test_an_unknown_dimension_name_gets_a_suggestion(model: Write) -> None:
    with pytest.raises(OptionError, match="did you mean 'batch'"):
        read(model(TWO_DIMS), {"bacth": 2})


def test_expressions_over_symbols_follow_their_symbols(model: Write) -> None:
    proto = onnx.parser.parse_model(HEADER + "g (float[n, 2] x, float[m, 2] p) => (float[n, 2] y) { y = Relu(x) }")
    proto.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "n + 1"
    path = model(TWO_DIMS)
    path.write_bytes(proto.SerializeToString())
    assert types(path, "p", dims={"n": 7}) == ["float32[8, 2]"]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2*n + 1", 9),
        ("n//3", 1),
        ("Max(n, 9)", 9),
        ("n - 5", None),
        ("k", None),
        ("n**n", None),
        ("n/2", 2),
        ("", None),
    ],
)
def test_dimension_expressions(expression: str, value: int | None) -> None:
    assert evaluated(expression, {"n": 4}) == value


# --- what the data decides, and what nobody knows --------------------------------------------------------------------


def test_a_data_dependent_shape_has_a_proved_bound(model: Write) -> None:
    path = model("""g (float[4, 5] x) => (int64[n, 2] t) { nz = NonZero(x) t = Transpose <perm = [1, 0]> (nz) }""")
    graph = read(path)
    assert graph.tensors["nz"].type == BoundedType("int64", (2, 0), (2, 20))
    assert graph.tensors["t"].type == BoundedType("int64", (0, 2), (20, 2))
    assert [issue.is_root for issue in graph.issues] == [True, False]
    assert {issue.effect for issue in graph.issues} == {"at most"}


def test_an_unknown_operator_is_a_root_issue_and_what_follows_is_not(model: Write) -> None:
    path = model("""<ir_version: 8, opset_import: ["" : 17, "acme" : 1]>
    g (float[4] x) => (float[n] y) { a = acme.Magic (x) b = Relu(a) y = Relu(b) }""")
    graph = read(path)
    assert isinstance(graph.tensors["y"].type, UnknownType)
    assert [(issue.kind, issue.is_root) for issue in graph.issues] == [
        ("unknown-operator", True),
        ("unknown-shape", False),
        ("unknown-shape", False),
    ]


def test_an_unknown_operator_with_declared_outputs_is_believed(model: Write) -> None:
    path = model("""<ir_version: 8, opset_import: ["" : 17, "acme" : 1]>
    g (float[n, 4] x) => (float[n, 4] y) <float[n, 9] a> {
        a = acme.Magic (x) b = ReduceSum <keepdims = 0> (a) y = Add(x, b)
    }""")
    assert types(path, "a", dims={"n": 2}) == ["float32[2, 9]"]


# --- files that are no models ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "is empty"), (b"\x08\x07garbage", "not a readable ONNX file"), (b"\x08\x07", "holds no ONNX graph")],
)
def test_files_that_are_no_models(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=reason):
        read(path)


def test_a_missing_file_and_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        read(tmp_path / "absent.onnx")
    with pytest.raises(ModelError, match="is a directory"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("a = Relu(b) b = Relu(a) y = Relu(b)", "cycle"),
        ("y = Relu(nowhere)", "reads 'nowhere', which nothing produces"),
        ("y = Relu(x) y = Neg(x)", "writes 'y', which already has a value"),
        ("a = Relu(x)", "output 'y' of graph 'g' is produced by no node"),
        ("y = Relu()", "Relu"),
        ("y = MatMul(x, x)", "Incompatible dimensions"),
        ('y = Add(x, "")', "its input 'B' is left out"),
        ("s = Constant <value = int64[1] {7}> () y = Reshape(x, s)", "number of elements differs"),
    ],
)
def test_invalid_graphs_get_one_line_that_names_the_place(model: Write, body: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason) as error:
        read(model(f"g (float[2, 3] x) => (float[n] y) {{ {body} }}"))
    assert "\n" not in str(error.value)


def test_nodes_out_of_order_are_sorted(model: Write) -> None:
    path = model("g (float[2] x) => (float[2] y) { y = Relu(a) a = Neg(x) }")
    assert [node.op_type for node in read(path).nodes] == ["Neg", "Relu"]


def test_external_data_outside_the_folder_is_refused(tmp_path: Path) -> None:
    proto = onnx.parser.parse_model(HEADER + "g (float[2] x) => (float[2] y) <float[2] w> { y = Add(x, w) }")
    weight = onnx.TensorProto(name="w", data_type=1, dims=[2], data_location=onnx.TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="../../etc/passwd")
    proto.graph.initializer.append(weight)
    path = tmp_path / "outside.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="outside the model's folder"):
        read(path)


def test_absent_weights_keep_their_types_and_shapes_stored_beside_the_model_are_read(tmp_path: Path) -> None:
    proto = onnx.parser.parse_model(
        HEADER + "g (float[2, 3] x) => (float[n, m] y) { r = Reshape(x, s) y = MatMul(r, w) }"
    )
    for name, number, dims, length in (("s", 7, [2], 16), ("w", 1, [2, 1000], 8000)):
        tensor = onnx.TensorProto(name=name, data_type=number, dims=dims, data_location=onnx.TensorProto.EXTERNAL)
        for key, value in (("location", f"{name}.bin"), ("length", str(length))):
            tensor.external_data.add(key=key, value=value)
        proto.graph.initializer.append(tensor)
    (tmp_path / "s.bin").write_bytes(np.array([3, 2], dtype=np.int64).tobytes())
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    assert types(tmp_path / "m.onnx", "r", "y", "w") == ["float32[3, 2]", "float32[3, 1000]", "float32[2, 1000]"]


def test_an_initializer_whose_payload_does_not_fit_its_shape_is_refused(tmp_path: Path) -> None:
    proto = onnx.parser.parse_model(HEADER + "g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) }")
    proto.graph.initializer[0].dims[0] = 3
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="initializer 'w' holds 2 elements but float32\\[3\\] needs 3"):
        read(tmp_path / "m.onnx")


# --- where a node comes from -----------------------------------------------------------------------------------------


def test_torchscript_paths_become_module_scopes(model: Write) -> None:
    text = "g (float[2] x) => (float[2] y) { [/layer1/layer1.0/relu/Relu] y = Relu(x) }"
    proto = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> ' + text.replace("[/layer1/layer1.0/relu/Relu] ", "")
    )
    proto.graph.node[0].name = "/layer1/layer1.0/relu/Relu"
    path = model(TWO_DIMS)
    path.write_bytes(proto.SerializeToString())
    assert read(path).nodes[0].origin.scope == "layer1.0.relu"


def test_dynamo_metadata_becomes_scope_class_and_source(model: Write) -> None:
    proto = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 20]> g (float[2] x) => (float[2] y) { y = Relu(x) }'
    )
    for key, value in (
        ("pkg.torch.onnx.name_scopes", "['', 'head', 'head.act', 'relu']"),
        ("pkg.torch.onnx.class_hierarchy", "['Net', 'Head', 'torch.nn.modules.activation.ReLU', 'aten.relu.default']"),
        (
            "pkg.torch.onnx.stack_trace",
            'File "a.py", line 3, in forward\n  File "net.py", line 41, in forward\n    relu(x)',
        ),
    ):
        proto.graph.node[0].metadata_props.add(key=key, value=value)
    path = model(TWO_DIMS)
    path.write_bytes(proto.SerializeToString())
    origin = read(path).nodes[0].origin
    assert (origin.scope, origin.module, origin.source) == ("head.act", "torch.nn.modules.activation.ReLU", "net.py:41")


@pytest.mark.parametrize("suffix", [".textproto", ".onnxtxt"])
def test_text_files_are_read_too(tmp_path: Path, suffix: str) -> None:
    text = '<ir_version: 8, opset_import: ["" : 17]>\ng (float[2] x) => (float[2] y) { y = Relu(x) }'
    path = tmp_path / f"model{suffix}"
    path.write_text(text if suffix == ".onnxtxt" else str(onnx.parser.parse_model(text)))
    assert types(path, "y") == ["float32[2]"]
