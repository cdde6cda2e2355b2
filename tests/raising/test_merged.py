"""Exports whose optimizer has merged equal nodes: what a call reads and makes is still what its text says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Call, Ref
from graphmem.raising import raised
from graphmem.reader import read

FLOAT, INT = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def node(op: str, reads: str, writes: str, call: str, **attributes: object) -> onnx.NodeProto:
    """A node of the call `%name = target(args)`."""
    made = make_node(op, reads.split(), writes.split(), **attributes)
    name, _, rest = call.partition(" = ")
    target, _, args = rest.partition("(")
    text = f"%{name} : [num_users=1] = call_function[target=torch.ops.aten.{target}](args = ({args}, kwargs = {{}})"
    made.metadata_props.add(key="pkg.torch.onnx.fx_node", value=text)
    return made


def calls(path: Path, nodes: Sequence[onnx.NodeProto], inputs: dict[str, list[int]], output: list[int]) -> list[Call]:
    """The calls that the graph is raised to; inputs whose names begin with i are integers."""
    given = [make_tensor_value_info(n, INT if n.startswith("i") else FLOAT, shape) for n, shape in inputs.items()]
    one = onnx.numpy_helper.from_array(np.array([-1]), "one")
    graph = make_graph(nodes, "g", given, [make_tensor_value_info("y", FLOAT, output)], [one])
    model = make_model(graph, opset_imports=[make_opsetid("", 18)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return list(raised(read(path), TrainingOptions()).calls)


def test_the_result_of_a_call_is_not_an_inner_value_that_another_call_reads(tmp_path: Path) -> None:
    first, second = "index = index.Tensor(%x, [%ids])", "index_1 = index.Tensor(%z, [%ids])"
    nodes = [
        node("Unsqueeze", "ids one", "val_1", first),
        node("GatherND", "x val_1", "val_2", first),
        node("GatherND", "z val_1", "val_3", second),
        node("Add", "val_2 val_3", "y", "y = add.Tensor(%index, %index_1)"),
    ]
    made = calls(tmp_path / "m.onnx", nodes, {"x": [9, 4], "z": [9, 4], "ids": [5]}, [5, 4])
    assert [(c.outputs, c.types[0].shape) for c in made[:2]] == [(("val_2",), (5, 4)), (("val_3",), (5, 4))]
    assert made[1].args == (Ref("z"), [Ref("ids")])  # of which the inner value is a view
    assert made[2].args == (Ref("val_2"), Ref("val_3"))


def test_a_lost_argument_is_the_result_of_the_equal_call(tmp_path: Path) -> None:
    picked = "select = select.int(%ids, 0, 0)"
    nodes = [
        node("Identity", "ids", "select", picked),
        node("Relu", "x", "relu", "relu = relu.default(%x)"),
        node("Gather", "relu select", "y", "y = index_select.default(%clone, 0, %select_7)"),
    ]
    made = calls(tmp_path / "m.onnx", nodes, {"x": [9, 4], "ids": [5]}, [5, 4])
    assert made[-1].args[2] == Ref("select")


@pytest.mark.parametrize("is_turned_first", [False, True])
def test_attention_takes_its_query_first_whatever_comes_first(tmp_path: Path, is_turned_first: bool) -> None:
    text = "y = scaled_dot_product_attention.default(%clone, %clone_1, %clone_2)"
    turn = node("Transpose", "k", "val_1", text, perm=[0, 1, 3, 2])
    scale = node("Mul", "q half", "val_2", text)
    nodes = [
        node("Relu", "a", "q", "q = relu.default(%a)"), node("Relu", "b", "k", "k = relu.default(%b)"),
        node("Relu", "b", "v", "v = tanh.default(%b)"), node("Relu", "c", "half", "half = relu.default(%c)"),
        *([turn, scale] if is_turned_first else [scale, turn]),
        node("MatMul", "val_2 val_1", "val_3", text), node("Softmax", "val_3", "val_4", text),
        node("MatMul", "val_4 v", "y", text),
    ]  # fmt: skip
    inputs = {"a": [2, 2, 5, 8], "b": [2, 2, 7, 8], "c": [1]}
    made = calls(tmp_path / "m.onnx", nodes, inputs, [2, 2, 5, 8])
    sources = {c.outputs[0]: c.reads[0] for c in made if len(c.reads) == 1}
    found = [ref.name if ref.name in "qkv" else sources[ref.name] for ref in made[-1].args[:3]]
    assert found == ["q", "k", "v"]
