"""Broken and hostile files: one clear line, bounded time and memory, no file outside the model's folder opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

import graphmem
from graphmem.ir.errors import ModelError

Writer = Callable[..., Path]
OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("l", 1)]


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        graphmem.analyze(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def saved(path: Path, nodes: list[onnx.NodeProto], **options: object) -> Path:
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    graph = helper.make_graph(nodes, "g", [given], [onnx.ValueInfoProto(name="y")])
    onnx.save(helper.make_model(graph, opset_imports=OPSETS, ir_version=8, **options), path)
    return path


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\x00\x01\x02 not a model", "not a readable ONNX file"),
        (b"\x3a\x80\x01" * 10_000, "not a readable ONNX file"),
    ],
    ids=["empty", "garbage", "nested messages"],
)
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert words in refusal(path)


def test_a_directory_a_device_and_nothing_are_refused(tmp_path: Path) -> None:
    assert "is a directory" in refusal(tmp_path)
    assert "is a device" in refusal(Path("/dev/zero"))
    assert "does not exist" in refusal(tmp_path / "none.onnx")


@pytest.mark.parametrize("suffix", ["onnxtxt", "pbtxt"])
def test_text_that_nests_without_end_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m.{suffix}"
    path.write_text('<ir_version: 8, opset_import: ["" : 17]>\ng (' + "seq(" * 100_000)
    assert "nests more than" in refusal(path)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("y = Add (x, z)  z = Relu (y)", "acyclic"),
        ("y = Add (x, nothing)", "which nothing produces"),
        ("y = Relu (x)  y = Exp (x)", "already has a value"),
        ("y = Concat <axis = -1099511627776> (x, x)", "out of range"),
        ("y = LayerNormalization <axis = 9223372036854775807> (x, x)", "out of range"),
        ("i = Constant <value = int64[1] {0}> ()  y = GatherND <batch_dims = -2> (x, i)", "batch_dims"),
        ("y = Range (x)", "inputs"),
        ('y = Concat <axis = "a"> (x, x)', "attribute"),
        ("s = Constant <value = int64[1] {5}> ()  y = Reshape (x, s)", "reshape"),
        ("s = Constant <value = int64[2] {4294967296, 4294967296}> ()  y = Expand (x, s)", "ncompatible"),
        ("s = Constant <value = int64[2] {4294967296, 4294967296}> ()  y = ConstantOfShape (s)", "2^63"),
        ("s = Constant <value = int64[1] {9223372036854775807}> ()  y = Tile (x, s)", "verflow"),
        ("c = Cast <to = 11> (x)  y = Add (x, c)", "one element type"),
    ],
)
def test_a_broken_graph_is_refused(model: Writer, body: str, words: str) -> None:
    assert words in refusal(model(f"g (float[2] x) => (y) {{ {body} }}"))


def test_gigabytes_are_typed_but_never_made(model: Writer) -> None:
    path = model("""g (float[1] x) => (y) {
      s = Constant <value = int64[1] {1099511627776}> ()  e = Expand (x, s)  n = Shape (e)  y = Reshape (e, n) }""")
    assert graphmem.analyze(path).inference.peak == 2**42 + 8  # e and n; y is a view of e


@pytest.mark.parametrize("location", ["../../etc/passwd", "/etc/passwd", "C:\\w", "a/../../b"])
def test_weights_outside_of_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value=location)
    path = saved(tmp_path / "m.onnx", [helper.make_node("Add", ["x", "w"], ["y"])])
    damaged = onnx.load(path)
    damaged.graph.initializer.append(weight)
    path.write_bytes(damaged.SerializeToString())
    assert "outside the model's folder" in refusal(path)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(bytes([2, 0, 0, 0, 0, 0, 0, 0]))
    (tmp_path / "in" / "w.bin").symlink_to(tmp_path / "secret")
    shape = TensorProto(name="s", data_type=TensorProto.INT64, dims=[1], data_location=TensorProto.EXTERNAL)
    shape.external_data.add(key="location", value="w.bin")
    path = saved(tmp_path / "in" / "m.onnx", [helper.make_node("Reshape", ["x", "s"], ["y"])])
    changed = onnx.load(path)
    changed.graph.initializer.append(shape)
    path.write_bytes(changed.SerializeToString())
    assert graphmem.analyze(path).exactness == "at least"  # the shape was not read


def test_functions_that_recurse_or_multiply_are_refused(tmp_path: Path) -> None:
    own = helper.make_function("l", "f0", ["a"], ["b"], [helper.make_node("f0", ["a"], ["b"], domain="l")], OPSETS)
    call = [helper.make_node("f0", ["x"], ["y"], domain="l")]
    assert "calls itself" in refusal(saved(tmp_path / "a.onnx", call, functions=[own]))
    functions = [helper.make_function("l", "f0", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], OPSETS)]
    for i in range(1, 40):
        twice = [helper.make_node(f"f{i - 1}", [a], [b], domain="l") for a, b in (("a", "t"), ("t", "b"))]
        functions.append(helper.make_function("l", f"f{i}", ["a"], ["b"], twice, OPSETS))
    call = [helper.make_node("f39", ["x"], ["y"], domain="l")]
    assert "expand to more than" in refusal(saved(tmp_path / "b.onnx", call, functions=functions))


def test_an_operator_of_another_domain_is_typed_by_the_file_or_the_caller_or_left_open(model: Writer) -> None:
    header = '<ir_version: 8, opset_import: ["" : 17, "my" : 1]>'
    path = model(header + "g (float[2] x) => (float[3] z) { y = my.Op (x)  z = Relu (y) }")
    analysis = graphmem.analyze(path)
    assert analysis.exactness == "at least"
    assert [issue.is_root for issue in analysis.issues if issue.effect == "at least"] == [True]
    given = graphmem.analyze(path, shapes={"y": analysis.graph.tensors["z"].type})  # type: ignore[dict-item]
    assert given.is_complete
    assert given.inference.peak == 12 + 12  # y + z
