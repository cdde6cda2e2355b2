"""Tables of tree ensembles are cut before they are parsed; everything else stays as it was, byte for byte."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from graphmem.reader import read
from graphmem.reader.light import LONG, without_tables

ROWS = 40_000
OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]


def ensemble(op_type: str, **more: object) -> onnx.ModelProto:
    tables: dict[str, object] = {
        "nodes_nodeids": list(range(ROWS)), "nodes_values": [0.5] * ROWS, "nodes_modes": ["BRANCH_LEQ"] * ROWS
    }  # fmt: skip
    node = helper.make_node(op_type, ["x"], ["y", "z"][: 1 + ("C" in op_type)], domain="ai.onnx.ml", **tables, **more)
    after = helper.make_node("Identity", ["y"], ["o"])
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 5])
    graph = helper.make_graph([node, after], "g", [given], [onnx.ValueInfoProto(name="o")])
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=8)


@pytest.mark.parametrize(
    ("op_type", "more", "shape"),
    [
        ("TreeEnsembleRegressor", {"n_targets": 7}, "float32[3, 7]"),
        ("TreeEnsembleClassifier", {"classlabels_int64s": list(range(9))}, "int64[3]"),
    ],
)
def test_the_figures_stay_and_the_file_becomes_small(
    tmp_path: Path, op_type: str, more: dict[str, object], shape: str
) -> None:
    model = ensemble(op_type, **more)
    data = model.SerializeToString()
    cut = without_tables(data)
    assert len(cut) < len(data) / 8
    assert onnx.ModelProto.FromString(cut).graph.node[1] == model.graph.node[1]
    (tmp_path / "m.onnx").write_bytes(data)
    assert str(read(tmp_path / "m.onnx").tensors["o"].type) == shape


def test_labels_are_never_cut() -> None:
    labels = [f"label {i}" for i in range(20_000)]
    model = ensemble("TreeEnsembleClassifier", classlabels_strings=labels)
    cut = onnx.ModelProto.FromString(without_tables(model.SerializeToString()))
    lengths = {a.name: len(a.strings) for a in cut.graph.node[0].attribute}
    assert lengths["classlabels_strings"] == 20_000
    assert lengths["nodes_modes"] < ROWS


def test_other_models_are_the_same_bytes() -> None:
    other = ensemble("TreeEnsembleRegressor")
    other.graph.node[0].op_type = "SVMRegressor"
    data = other.SerializeToString()
    assert len(data) > LONG
    assert without_tables(data) is data


BYTES = ensemble("TreeEnsembleRegressor").SerializeToString()[:150_000]


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 2_000))
def test_damaged_bytes_are_left_to_the_parser(noise: bytes, at: int) -> None:
    data = bytearray(BYTES)
    data[at : at + len(noise)] = noise
    assert isinstance(without_tables(bytes(data)), bytes)
