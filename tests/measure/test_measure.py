"""What happens around onnxruntime: the order of execution, made-up weights, its file format, its refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from graphmem.ir.errors import ModelError
from graphmem.ir.runtime import SessionOptions
from graphmem.measure.optimized import Optimized, optimized
from graphmem.measure.prepare import FILLED, runnable
from graphmem.measure.rewrite import Call, execution_order
from graphmem.measure.runs import measured

#     x -> 0 -> 1 -> 3
#            \> 2 -/        4 reads x alone
DIAMOND = [
    Call("Exp", ("x",), ("a",)),
    Call("Neg", ("a",), ("b",)),
    Call("Shape", ("a",), ("c",)),
    Call("Add", ("b", "c"), ("y",)),
    Call("Cos", ("x",), ("z",)),
]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("default", [4, 0, 2, 1, 3]),  # from the last leaf; of the two before node 3 the higher number first
        ("priority", [0, 2, 1, 3, 4]),  # Shape before all others that are ready, then by number
    ],
)
def test_execution_order(order: str, expected: list[int]) -> None:
    assert execution_order(DIAMOND, order) == expected


def absent(nbytes: int) -> bytes:
    """A model whose one weight, of that many bytes, lies in a file that is not there."""
    weight = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[nbytes // 4])
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "gone.bin"), ("offset", "4096"), ("length", str(nbytes))):
        weight.external_data.add(key=key, value=value)
    info = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", nbytes // 4])
    out = onnx.helper.make_empty_tensor_value_info("y")
    node = onnx.helper.make_node("Add", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [info], [out], [weight])
    opsets = [onnx.helper.make_opsetid("", 17)]
    data: bytes = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return data


@pytest.mark.parametrize("nbytes", [1 << 10, 1 << 26])
def test_made_up_weights_take_no_more_than_their_own_size(nbytes: int, tmp_path: Path) -> None:
    made = runnable(absent(nbytes), tmp_path, {"x": (2, nbytes // 4)}, tmp_path)
    file = (tmp_path / FILLED).stat()
    assert (made.filled_bytes, file.st_size) == (nbytes, nbytes)
    assert file.st_blocks * 512 <= max(nbytes, 4096)
    if nbytes > 1 << 20:
        assert file.st_blocks * 512 < 1 << 16  # a hole


def test_small_made_up_weights_are_neither_zero_nor_one(tmp_path: Path) -> None:
    import numpy as np

    runnable(absent(1 << 10), tmp_path, {}, tmp_path)
    values = np.fromfile(tmp_path / FILLED, np.float32)
    assert ((values > 0.1) & (values < 0.2)).all()  # nothing that an optimization would take for a no-op


def test_weights_that_are_there_are_left_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "gone.bin").write_bytes(bytes(4096 + 1024))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    made = runnable(absent(1 << 10), tmp_path, {}, scratch)
    assert (made.filled_bytes, made.weights_folder) == (0, tmp_path)


def graph_of(path: Path, scratch: Path, options: SessionOptions) -> Optimized:
    return optimized(path.read_bytes(), path.parent, {}, {}, options, scratch)


def test_the_saved_format_tells_shapes_and_numbers(model: Callable[..., Path], tmp_path: Path) -> None:
    turn = "Transpose<perm = [1, 0]>"
    path = model(f"g (float[n,4] x) => (float[n,4] y) {{ a = Exp(x) b = {turn}(a) c = Neg(b) y = {turn}(c) }}")
    found = graph_of(path, tmp_path, SessionOptions(optimization="off"))
    assert found.known["a"] == ("n", 4)
    assert found.known["b"] == (4, "n")
    assert [found.numbers[name] for name in "xabcy"] == [0, 1, 2, 3, 4]
    nodes = onnx.load(found.path).graph.node
    assert [node.op_type for node in nodes] == ["Exp", "Transpose", "Neg", "Transpose"]


def test_the_options_reach_the_session(model: Callable[..., Path], tmp_path: Path) -> None:
    path = model("g (float[4] x) => (float[4] y) { a = Identity(x) y = Neg(a) }")
    assert len(onnx.load(graph_of(path, tmp_path, SessionOptions(optimization="off")).path).graph.node) == 2
    assert len(onnx.load(graph_of(path, tmp_path, SessionOptions(optimization="all")).path).graph.node) == 1


def test_a_refusal_is_one_line(model: Callable[..., Path], tmp_path: Path) -> None:
    path = model('<ir_version: 8, opset_import: ["" : 17, "no.such" : 1]> g (float[4] x) => (y) { y = no.such.Op(x) }')
    with pytest.raises(ModelError, match="onnxruntime refuses the model") as caught:
        graph_of(path, tmp_path, SessionOptions())
    assert "\n" not in str(caught.value)


def test_without_a_compiler_the_arena_counters_are_read(
    model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphmem.measure.runs.compiled", lambda _: None)
    path = model("g (float[64,64] x) => (float[64,64] y) { a = Exp(x) b = Neg(a) y = Neg(b) }")
    found = measured(path.read_bytes(), path.parent, {"x": (64, 64)}, [SessionOptions(pattern=False)], tmp_path)
    assert "counters" in found.method
    assert "workspace" in found.blind
    assert found.runs[0][0].peak == 2 * 64 * 64 * 4
