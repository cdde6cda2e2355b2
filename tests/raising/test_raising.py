"""What raising concludes from structure, from names and from the exporter's signature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import graphmem
from graphmem.autograd.machine import Machine
from graphmem.autograd.rules import RULES
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Ref
from graphmem.raising import raised
from graphmem.raising.call_text import parsed
from graphmem.raising.draft import DROPOUT
from graphmem.reader import read
from tests.autograd.test_training import held

Write = Callable[..., Path]

FEED_FORWARD = f"""g (float[2, 3, 4] x) => (float[2, 3, 4] y)
<{held('float[4, 8] "a.weight"', 32)}, {held('float[8] "a.bias"', 8)},
 {held('float[8, 4] "b.weight"', 32)}, {held('float[4] "b.bias"', 4)}> {{
    h = MatMul(x, "a.weight") i = Add(h, "a.bias") r = Relu(i)
    o = MatMul(r, "b.weight") p = Add(o, "b.bias") y = Add(x, p)
}}"""
TOKEN = f"""g (float[2, 3, 4] x) => (float[2, 4, 4] y) <{held("float[1, 1, 4] cls", 4)}> {{
    n = Constant<value_ints = [2, 1, 4]>() e = Expand(cls, n) y = Concat<axis = 1>(e, x)
}}"""


def named(model: Write, text: str) -> Path:
    """The ONNX text with quoted names, which the parser does not know: dots are written as two underscores."""
    path = model(text.replace('"', "").replace(".weight", "__weight").replace(".bias", "__bias"))
    proto = onnx.load(path)
    for item in [*proto.graph.initializer]:
        item.name = item.name.replace("__", ".")
    for node in proto.graph.node:
        node.input[:] = [name.replace("__", ".") for name in node.input]
    path.write_bytes(proto.SerializeToString())
    return path


def test_a_dropout_is_placed_on_the_branch_before_the_sum(model: Write) -> None:
    program = raised(read(named(model, FEED_FORWARD)), TrainingOptions(dropout=0.1))
    assert [i.evidence for i in program.inferred if i.what == DROPOUT] == [
        "a branch before it is added to what runs past it"
    ]
    targets = [call.target for call in program.calls]
    assert targets[-2:] == ["aten.dropout", "aten.add"]
    assert program.calls[-1].reads == ("x", program.calls[-2].outputs[0])


def test_no_dropout_is_placed_without_a_probability(model: Write) -> None:
    path = named(model, FEED_FORWARD)
    plain, zero = (raised(read(path), TrainingOptions(dropout=p)) for p in (None, 0.0))
    assert plain.calls == zero.calls


def test_a_placed_dropout_costs_its_mask_and_its_result(model: Write) -> None:
    path = named(model, FEED_FORWARD)
    dropped, plain = (graphmem.train(path, loss="mse", dropout=p) for p in (0.1, 0.0))
    assert dropped.saved_bytes - plain.saved_bytes == 2 * 3 * 4 * 4  # the mask; the result is read by a sum alone


def test_a_learned_token_is_expanded_in_the_step(model: Write) -> None:
    program = raised(read(model(TOKEN)))
    assert [g.name for g in program.of("parameter")] == ["cls"]
    assert [call.target for call in program.calls] == ["aten.expand", "aten.cat"]


def test_a_stored_mask_is_no_parameter(model: Write) -> None:
    text = f"""g (float[2, 4] x) => (float[2, 4] z) <{held("float[4, 4] w", 16)}, {held("float[2, 4] bias", 8)}> {{
        c = Constant<value_float = 0.0>() e = Equal(bias, c) y = MatMul(x, w) z = Where(e, y, x) }}"""
    program = raised(read(model(text)))
    assert [g.name for g in program.of("buffer")] == ["bias"]


def test_a_weight_of_one_element_is_no_number(model: Write) -> None:
    text = (
        f"""g (float[1, 1, 4, 4] x) => (float[1, 1, 4, 4] y) <{held("float[1, 1, 1, 1] w", 1)}> {{ y = Conv(x, w) }}"""
    )
    assert [g.name for g in raised(read(model(text))).of("parameter")] == ["w"]


def test_weights_that_a_node_makes_are_parameters(model: Write) -> None:
    text = """g (float[2, 4] x) => (float[2, 8] y)
        { s = Constant<value_ints = [4, 8]>() w = ConstantOfShape(s) y = MatMul(x, w) }"""
    found = graphmem.train(model(text), loss="mse")
    assert found.breakdown["parameters"] == 4 * 8 * 4


def test_what_the_data_decides_is_bounded(model: Write) -> None:
    text = f"""g (float[4, 4] x) => (float[N, 4] y) <{held("float[4, 4] w", 16)}> {{
        h = MatMul(x, w) c = ReduceSum<keepdims = 0>(h) p = Unsqueeze(c, axis) i = NonZero(p) j = Squeeze(i, axis)
        y = Gather(h, j) axis = Constant<value_ints = [0]>() }}"""
    found = graphmem.train(model(text), loss="sum")
    assert found.peak > 0
    assert {issue.effect for issue in found.issues} - {"exact"} == {"at most"}


def test_the_transpose_of_a_table_is_that_table(model: Write) -> None:
    table = np.arange(12, dtype=np.float32).reshape(4, 3)
    tensors = [onnx.numpy_helper.from_array(table, "t"), onnx.numpy_helper.from_array(table.T.copy(), "onnx::MatMul_9")]
    nodes = [
        onnx.helper.make_node("Gather", ["t", "ids"], ["e"]),
        onnx.helper.make_node("MatMul", ["e", "onnx::MatMul_9"], ["y"]),
    ]
    make = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(nodes, "g", [make("ids", 7, [2])], [make("y", 1, [2, 4])], tensors)
    path = model(TOKEN)
    opset = [onnx.helper.make_opsetid("", 17)]
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())
    assert [g.name for g in raised(read(path)).of("parameter")] == ["t"]


def test_a_token_that_was_folded_into_a_constant_is_a_parameter_again(model: Write) -> None:
    text = f"""g (float[2, 3, 4] x) => (float[2, 4, 4] cat) <{held("float[2, 1, 4] expand", 8)}>
        {{ cat = Concat<axis = 1>(expand, x) }}"""
    path = model(text)
    proto = onnx.load(path)
    target = "call_function[target=torch.ops.aten.cat.default]"
    call = f"%cat : [num_users=1] = {target}(args = ([%expand, %x], 1), kwargs = {{}})"
    proto.graph.node[0].metadata_props.add(key="pkg.torch.onnx.fx_node", value=call)
    signature = "\n# inputs\np_cls: PARAMETER target='cls'\nx: USER_INPUT\n"
    proto.graph.metadata_props.add(key="pkg.torch.export.ExportedProgram.graph_signature", value=signature)
    path.write_bytes(proto.SerializeToString())
    found = graphmem.train(path, loss="sum")
    assert found.breakdown["parameters"] == 4 * 4  # [1, 1, 4], of which the file holds two copies
    assert [(i.what, i.where) for i in found.inferred] == [("parameter folded into a constant", "cls")]


def test_rows_of_positions_in_a_numbered_constant_are_a_lower_bound(model: Write) -> None:
    tensors = [
        onnx.numpy_helper.from_array(np.ones((5, 4), np.float32), "words.weight"),
        onnx.numpy_helper.from_array(np.ones((3, 4), np.float32), "onnx::Add_7"),
    ]
    nodes = [
        onnx.helper.make_node("Gather", ["words.weight", "ids"], ["w"]),
        onnx.helper.make_node("Add", ["w", "onnx::Add_7"], ["y"]),
    ]
    make = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(nodes, "g", [make("ids", 7, [2, 3])], [make("y", 1, [2, 3, 4])], tensors)
    path = model(TOKEN)
    opset = [onnx.helper.make_opsetid("", 17)]
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())
    found = graphmem.train(path, loss="sum")
    assert found.breakdown["parameters"] == (5 + 3) * 4 * 4
    assert {issue.effect for issue in found.issues} == {"at least"}


def test_an_equation_of_einsum_is_one_argument() -> None:
    text = (
        "%einsum : [num_users=1] = call_function[target=torch.ops.aten.einsum.default]"
        "(args = (btd,dhk->bhtk, [%x, %p_w]), kwargs = {})"
    )
    found = parsed(text)
    assert found is not None
    assert found.args == ("btd,dhk->bhtk", [Ref("x"), Ref("p_w")])


@pytest.mark.parametrize(
    "equation", ["ij,jk->ik", "bij,bjk->bik", "bhtk,bhsk->bhts", "...i,ij->...j", "i,j->ij", "bij->bji", "ij->i",
                 "bi,ij,bj->b", "btd,dhk->bhtk", "ij,kj", "bij,b->bij"],
)  # fmt: skip
def test_einsum_gives_the_shape_that_numpy_gives(equation: str) -> None:
    sizes = {"b": 2, "h": 3, "t": 4, "s": 5, "i": 6, "j": 7, "k": 8, "d": 9}
    terms = equation.split("->", maxsplit=1)[0].split(",")
    shapes = [tuple(sizes[c] for c in t.replace("...", "bt")) for t in terms]
    m = Machine()
    with m.operator("inputs"):
        operands = [m.empty(shape, "float32") for shape in shapes]
    wanted = np.einsum(equation, *(np.zeros(shape) for shape in shapes)).shape
    assert RULES["aten.einsum"](m, equation, operands).shape == wanted


def test_weights_inside_of_a_body_make_the_figure_a_lower_bound(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    net (float[2, 3] x, bool c) => (float[2, 3] y) <float[3, 3] w> {
      h = MatMul (x, w)
      z = If (c) <
        then_branch = one () => (float[2, 3] a) <float[3, 3] v = {1, 2, 3, 4, 5, 6, 7, 8, 9}> { a = MatMul (h, v) },
        else_branch = two () => (float[2, 3] b) { b = Relu (h) }>
      y = Add (h, z)
    }"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((3, 3), np.float32), "w"))
    onnx.save(model, tmp_path / "if.onnx")
    assert graphmem.train(tmp_path / "if.onnx", loss="sum").exactness == "at least"


def _shared(tmp_path: Path) -> Path:
    """A folded layer and a slope called twice, whose second copies the exporter writes as Identity of the first."""
    tensors = [
        onnx.numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "onnx::Conv_7"),
        onnx.numpy_helper.from_array(np.zeros(4, np.float32), "onnx::Conv_8"),
        onnx.numpy_helper.from_array(np.full((1, 1, 1), 0.25, np.float32), "onnx::PRelu_9"),
    ]
    make = onnx.helper.make_node
    nodes = [
        make("Identity", ["onnx::Conv_7"], ["onnx::Conv_17"]), make("Identity", ["onnx::Conv_8"], ["onnx::Conv_18"]),
        make("Identity", ["onnx::PRelu_9"], ["onnx::PRelu_19"]),
        make("Conv", ["x", "onnx::Conv_7", "onnx::Conv_8"], ["a"], name="/net/Conv"),
        make("PRelu", ["a", "onnx::PRelu_9"], ["b"]),
        make("Conv", ["z", "onnx::Conv_17", "onnx::Conv_18"], ["c"], name="/net_1/Conv"),
        make("PRelu", ["c", "onnx::PRelu_19"], ["d"]), make("Add", ["b", "d"], ["y"]),
    ]  # fmt: skip
    info = onnx.helper.make_tensor_value_info
    given = [info(name, 1, [2, 3, 8, 8]) for name in "xz"]
    graph = onnx.helper.make_graph(nodes, "g", given, [info("y", 1, [2, 4, 6, 6])], tensors)
    opset = [onnx.helper.make_opsetid("", 17)]
    path = tmp_path / "shared.onnx"
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())
    return path


def test_a_module_that_is_called_twice_has_its_weights_once(tmp_path: Path) -> None:
    found = graphmem.train(_shared(tmp_path), loss="sum")
    assert found.breakdown["parameters"] == (4 * 27 + 4 + 1) * 4
    assert not any(issue.kind == "unknown-rule" for issue in found.issues)


def test_its_folded_norm_comes_back_for_both_calls(tmp_path: Path) -> None:
    program = raised(read(_shared(tmp_path)), TrainingOptions(assume_bn=True))
    norms = [call for call in program.calls if call.target == "aten.batch_norm"]
    assert len(norms) == 2
    assert len({call.args[1:5] for call in norms}) == 1


def test_numbered_weights_are_frozen_by_the_module_that_reads_them(tmp_path: Path) -> None:
    path = _shared(tmp_path)
    free, frozen = (graphmem.train(path, loss="sum", freeze=f, optimizer="adamw") for f in ((), ("net.*",)))
    assert free.breakdown["optimizer_state"] - frozen.breakdown["optimizer_state"] == 2 * (4 * 27 + 4) * 4 + 2 * 4
