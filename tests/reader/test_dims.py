"""Names and numbers of dimensions: what --dim and --batch bind, what they must not, and what is assumed and said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import onnx.parser
import pytest

from graphmem.ir.errors import ModelError, OptionError
from graphmem.reader import read
from graphmem.reader.dims import MAX_EXPRESSION, bindings, declared_dims, evaluated, fitting, stated_type
from tests.conftest import HEADER

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("n", 4), ("n + 1", 5), ("n - 4", 0), ("n - 5", None), ("3 * n", 12), ("n // 3", 1), ("n / 3", 1), ("n % 3", 1),
        ("-n + 9", 5), ("-n", None), ("+n", None), ("Max(n, 9)", 9), ("min(n, m, 9)", 2), ("Min(n, 3)", 3), ("max(n, 3)", 4),
        ("n // 0", None), ("n ** 2", None), ("n.m", None), ("floor(n)", None), ("max(n, key=m)", None), ("2.5", None),
        ("True", None), ("a:b", 7), ("a:c", None), ("n +", None), (" n * m ", 8), ("n" * (MAX_EXPRESSION + 1), None),
        ("n" + " " * (MAX_EXPRESSION - 1), 4), ("m - (n - m)", 0), ("n if m else 1", None),
    ],
)  # fmt: skip
def test_arithmetic_over_symbols(text: str, value: int | None) -> None:
    assert evaluated(text, {"n": 4, "m": 2, "a:b": 7}) == value


def test_a_key_is_an_axis_where_an_input_has_that_name_and_a_symbol_otherwise() -> None:
    found = bindings({"x:0": 3, "x:a": 4, "z:1": 5, "n": 0, "x": 6}, 2, ["x"], True)
    assert (found.axes, found.symbols) == ({("x", 0): 3}, {"x:a": 4, "z:1": 5, "n": 0, "x": 6})
    assert (found.batch, found.is_strict, found.overrides_file) == (2, True, True)
    assert not bindings({"n": 1}, None, ["x"]).overrides_file
    assert not bindings({"n": 1}, None, ["x"]).is_strict


@pytest.mark.parametrize(
    ("dims", "batch", "words"), [({"n": -1}, None, "n=-1"), ({}, 0, "at least 1"), ({}, -3, "at least 1")]
)
def test_negative_sizes_and_an_empty_batch_are_refused(dims: dict[str, int], batch: int | None, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        bindings(dims, batch, [])


def infos(text: str) -> list[onnx.ValueInfoProto]:
    return list(onnx.parser.parse_model(HEADER + f"g ({text}) => (y) {{ y = Identity (x) }}").graph.input)


def test_of_shared_settings_those_fit_that_some_input_knows() -> None:
    given = infos("float[n, 3] x, float[m] z")
    given[1].type.tensor_type.shape.dim[0].dim_param = "2*k + 1"
    dims = {"n": 1, "k": 2, "m": 3, "x:0": 4, "x:1": 5, "x:2": 6, "z:0": 7, "2*k + 1": 8, "w:0": 9}
    assert fitting(dims, given) == {"n": 1, "k": 2, "x:0": 4, "x:1": 5, "z:0": 7, "2*k + 1": 8}


def test_declared_dimensions_are_numbers_names_or_nothing() -> None:
    (x,) = infos("float[n, 3, 0] x")
    x.type.tensor_type.shape.dim.add()
    x.type.tensor_type.shape.dim.add().dim_value = -1
    assert declared_dims(x) == ["n", 3, 0, None, None]
    (bare,) = infos("float x")
    assert declared_dims(bare) == []
    bare.type.tensor_type.ClearField("shape")
    assert declared_dims(bare) is None
    assert declared_dims(infos("seq(float[3]) x")[0]) is None


def test_a_stated_type_needs_every_symbol_and_an_element_type() -> None:
    (x,) = infos("float[n, 3] x")
    assert str(stated_type(x, {"n": 2})) == "float32[2, 3]"
    assert stated_type(x, {}) is None
    x.type.tensor_type.shape.dim[1].ClearField("dim_value")
    assert stated_type(x, {"n": 2}) is None
    (z,) = infos("float[n] x")
    z.type.tensor_type.elem_type = 0
    assert stated_type(z, {"n": 2}) is None
    assert str(stated_type(infos("float[n] x")[0], {"n": 0})) == "float32[0]"


def shapes(path: Path, *names: str, **options: object) -> list[str]:
    graph = read(path, **options)  # type: ignore[arg-type]
    return [str(graph.tensors[name].type) for name in names]


def test_nameless_dimensions_are_named_by_input_and_axis(model: Write) -> None:
    path = model("g (float[?, 3, ?] x) => (y) { y = Relu (x) }")
    graph = read(path)
    assert [issue.what for issue in graph.issues] == [
        "'x:0' is free, 1 assumed; bind it with --dim x:0=N",
        "'x:2' is free, 1 assumed; bind it with --dim x:2=N",
    ]
    assert shapes(path, "y", dims={"x:2": 7}, batch=4) == ["float32[4, 3, 7]"]


def test_an_axis_beyond_the_rank_is_refused_and_the_last_is_not(model: Write) -> None:
    path = model("g (float[2, 3] x) => (y) { y = Relu (x) }")
    assert shapes(path, "y", dims={"x:1": 5}) == ["float32[2, 5]"]
    with pytest.raises(OptionError, match="x:2=5: input 'x' has only 2 dimensions"):
        read(path, {"x:2": 5})


def test_an_input_without_a_rank_gets_that_of_the_axes_bound(model: Write) -> None:
    path = model("g (float[2] x) => (y) { y = Relu (x) }")
    proto = onnx.load(path)
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    path.write_bytes(proto.SerializeToString())
    assert shapes(path, "y", dims={"x:1": 5, "x:0": 2}) == ["float32[2, 5]"]
    assert shapes(path, "y", dims={"x:2": 5}) == ["float32[1, 1, 5]"]
    assert shapes(path, "y") == ["float32[...]"]


def test_symbols_are_bound_before_the_expressions_over_them(model: Write) -> None:
    path = model("g (float[a] x, float[n] z) => (y) { y = Relu (x) }")
    proto = onnx.load(path)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n + 2"
    path.write_bytes(proto.SerializeToString())
    assert shapes(path, "x", "z") == ["float32[3]", "float32[1]"]
    assert [issue.where for issue in read(path).issues if issue.kind == "free-dimension"] == ["z"]
    assert shapes(path, "x", "z", dims={"n": 5}) == ["float32[7]", "float32[5]"]
    with pytest.raises(OptionError, match="free dimensions are: n, n \\+ 2"):
        read(path, {"qqqq": 1})


def test_an_expression_of_no_known_symbol_is_free_itself(model: Write) -> None:
    path = model("g (float[a, 2] x) => (y) { y = Relu (x) }")
    proto = onnx.load(path)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "k // 2"
    path.write_bytes(proto.SerializeToString())
    assert shapes(path, "x") == ["float32[1, 2]"]
    assert shapes(path, "x", dims={"k": 9}) == ["float32[4, 2]"]
    assert shapes(path, "x", batch=6) == ["float32[6, 2]"]


@pytest.mark.parametrize(
    ("inputs", "bound"),
    [
        ("float[b, n] x, float[n] v", ["float32[3, 1]", "float32[1]"]),  # of vectors only where nothing is taller
        ("float[b, 2] x, float[m] v", ["float32[3, 2]", "float32[1]"]),
        ("float[b] x, float[m] v", ["float32[3]", "float32[3]"]),
        ("float[b, 2] x, float[m, 2] v", ["float32[3, 2]", "float32[3, 2]"]),
        ("float[b, b] x, float[b] v", ["float32[3, 3]", "float32[3]"]),
    ],
)
def test_the_batch_is_the_leading_dimension_of_the_tallest(model: Write, inputs: str, bound: list[str]) -> None:
    path = model(f"g ({inputs}) => (y) {{ y = Relu (x) }}")
    assert shapes(path, "x", "v", batch=3) == bound


def test_a_batch_that_nothing_takes_is_refused(model: Write) -> None:
    with pytest.raises(OptionError, match="--batch 2: no input has a dimension"):
        read(model("g (float x) => (y) { y = Relu (x) }"), batch=2)
    with pytest.raises(OptionError, match="'x' starts with 4"):
        read(model("g (float[4, n] x) => (y) { y = Relu (x) }"), batch=2)


def test_a_symbol_within_an_expression_counts_as_known_only_by_its_whole_name(model: Write) -> None:
    path = model("g (float[a, 2] x) => (y) { y = Relu (x) }")
    proto = onnx.load(path)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "2*seq"
    path.write_bytes(proto.SerializeToString())
    assert shapes(path, "x", dims={"seq": 4}) == ["float32[8, 2]"]
    with pytest.raises(OptionError, match="no input has a dimension of that name; did you mean '2\\*seq'"):
        read(path, {"2*se": 4})


def test_an_input_without_an_element_type_is_refused(model: Write) -> None:
    path = model("g (float[2] x) => (y) { y = Relu (x) }")
    proto = onnx.load(path)
    proto.graph.input[0].type.tensor_type.elem_type = 0
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="input 'x' has no element type"):
        read(path)
