"""An operator of another domain that shares the name of ONNX's own is an unknown one, whatever it reads."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

import graphmem
from graphmem.ir.operators import VIEWS
from graphmem.raising.operators import CONVERTERS
from graphmem.raising.patterns import MATCHERS
from tests.conftest import Finished, guarded

OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("my.domain", 1)]
LAYERS = ("Conv", "ConvTranspose", "BatchNormalization", "LSTM", "Constant", "Identity", "Loop", "Dropout", "MatMul")
NAMES = sorted({*CONVERTERS, *MATCHERS, *VIEWS, *LAYERS, "Gather", "Shape", "Transpose"})


def written(path: Path, op_type: str, inputs: list[str]) -> Path:
    """x times w, the operator, Relu, times w: its output feeds and is fed by what every table knows."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 4]) for name in ("x", "y", "z")]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node(op_type, inputs, ["y"], domain="my.domain"),
        helper.make_node("Relu", ["y"], ["b"]),
        helper.make_node("MatMul", ["b", "w"], ["z"]),
    ]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4, 4], [1.0] * 16)
    graph = helper.make_graph(nodes, "g", values[:1], values[2:], [weight], value_info=values[1:2])
    onnx.save(helper.make_model(graph, opset_imports=OPSETS, ir_version=9), path)
    return path


@pytest.mark.parametrize("op_type", NAMES)
def test_a_name_alone_says_nothing(tmp_path: Path, op_type: str) -> None:
    for inputs in ([], ["a"], ["a", "w", "w"]):
        path = written(tmp_path / "m.onnx", op_type, inputs)
        step = graphmem.train(path, loss="sum")
        assert step.exactness == "at least"
        assert any("my.domain" in issue.what for issue in step.issues)
        own_buffer = graphmem.analyze(path, memory_model="views").inference.total_bytes
        assert own_buffer == graphmem.analyze(path, memory_model="plain").inference.total_bytes  # it is no view


@pytest.mark.parametrize("op_type", ["Conv", "Gemm", "MatMul", "Transpose"])
@pytest.mark.parametrize("option", [("--prune", "0.5"), ("--precision", "int4")], ids=lambda option: option[0])
def test_nor_to_what_changes_the_graph(tmp_path: Path, op_type: str, option: tuple[str, str]) -> None:
    done: Finished = guarded("analyze", written(tmp_path / "m.onnx", op_type, ["a"]), *option)
    assert (done.code, done.err) == (0, "")
