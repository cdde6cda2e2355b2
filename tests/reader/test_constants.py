"""Initializers and constants: their types, which values are kept, and payloads that contradict what they state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.helper
import pytest
from onnx import TensorProto

from graphmem.ir.errors import ModelError
from graphmem.ir.types import TensorType
from graphmem.reader.constants import (
    MAX_FLOATS,
    MAX_INTEGERS,
    constant_of,
    initializer_type,
    initializer_value,
    is_small,
    shape_files,
)


@pytest.mark.parametrize(
    ("dtype", "elements", "kept"),
    [
        ("int64", MAX_INTEGERS, True), ("int64", MAX_INTEGERS + 1, False), ("uint8", MAX_INTEGERS, True),
        ("bool", MAX_INTEGERS, True), ("float32", MAX_FLOATS, True), ("float32", MAX_FLOATS + 1, False),
        ("string", MAX_FLOATS + 1, False), ("float32", 0, True),
    ],
)  # fmt: skip
def test_integers_are_kept_up_to_a_greater_number_than_floats(dtype: str, elements: int, kept: bool) -> None:
    assert is_small(dtype, elements) is kept
    assert (MAX_INTEGERS, MAX_FLOATS) == (1 << 16, 1 << 10)


def tensor(number: int, dims: list[int], **fields: object) -> TensorProto:
    return TensorProto(name="w", data_type=number, dims=dims, **fields)


PAYLOADS = [
    (tensor(1, [2, 3], raw_data=bytes(24)), 0),
    (tensor(1, [2, 3], float_data=[0.0] * 6), 0),
    (tensor(7, [5], int64_data=[0] * 5), 0),
    (tensor(11, [2], double_data=[0.0] * 2), 0),
    (tensor(13, [2], uint64_data=[1, 2]), 0),
    (tensor(9, [3], int32_data=[1, 0, 1]), 0),
    (tensor(14, [3], float_data=[0.0] * 6), 0),  # complex64: two numbers an element
    (tensor(15, [3], double_data=[0.0] * 6), 0),
    (tensor(22, [5], int32_data=[0] * 3), 0),  # int4: two elements a byte
    (tensor(21, [4], int32_data=[0] * 2), 0),
    (tensor(22, [5], raw_data=bytes(3)), 0),
    (tensor(8, [2], string_data=[b"a", b"b"]), 0),
]


@pytest.mark.parametrize("proto", [proto for proto, _ in PAYLOADS], ids=lambda p: f"{p.data_type}-{len(p.raw_data)}")
def test_a_payload_must_have_the_size_that_the_type_states(proto: TensorProto) -> None:
    assert initializer_type(proto).shape == tuple(proto.dims)
    for change in (-1, 1):
        damaged = TensorProto()
        damaged.CopyFrom(proto)
        damaged.dims[0] += 2 * change
        with pytest.raises(ModelError, match="the file is damaged"):
            initializer_type(damaged)


def external(name: str = "w", number: int = 7, dims: tuple[int, ...] = (2,), **entries: str) -> TensorProto:
    proto = TensorProto(name=name, data_type=number, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        proto.external_data.add(key=key, value=value)
    return proto


@pytest.mark.parametrize("location", ["/abs", "../up", "a/../../b", "C:\\x", "\\\\host\\x", "a\\..\\b", "C:x"])
def test_external_data_must_lie_beside_the_model(location: str) -> None:
    with pytest.raises(ModelError, match="outside the model's folder"):
        initializer_type(external(location=location))


@pytest.mark.parametrize(("length", "fits"), [("16", True), ("016", True), ("15", False), ("160", False), ("", False)])
def test_the_length_of_external_data_must_be_that_of_the_type(length: str, fits: bool) -> None:
    proto = external(location="w", length=length)
    if fits:
        assert initializer_type(proto) == TensorType("int64", (2,))
    else:
        with pytest.raises(ModelError, match="needs 16"):
            initializer_type(proto)


def test_external_data_of_no_bytes_has_a_length_of_zero_and_strings_have_any() -> None:
    assert initializer_type(external(dims=(0,), location="w", length="0")).shape == (0,)
    assert initializer_type(external(number=8, location="w", length="99")).dtype == "string"


def test_a_tensor_with_data_here_and_elsewhere_is_refused() -> None:
    proto = external(location="w")
    proto.int64_data.extend([1, 2])
    with pytest.raises(ModelError, match="points to external data as well"):
        initializer_type(proto)


def test_small_integers_are_read_from_their_place_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(np.arange(5, dtype=np.int64).tobytes())
    stated = TensorType("int64", (2,))

    def read(**entries: str) -> list[int] | None:
        found = initializer_value(external(location="w") if not entries else external(**entries), stated, tmp_path)
        return None if found is None else found.tolist()

    assert read() == [0, 1]
    assert read(location="w", offset="8") == [1, 2]
    assert read(location="w", offset="24") == [3, 4]
    assert read(location="w", offset="32") is None  # only one number is left
    assert read(location="w", offset="-8") is None
    assert read(location="w", offset="1" * 19) is None
    assert read(location="w", offset="0" * 17 + "8") == [1, 2]
    assert read(location="w", offset="٨") is None
    assert read(location="none") is None
    assert read(location="") is None


def test_weights_elsewhere_are_not_read_and_large_values_not_kept(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(bytes(8))
    assert initializer_value(external(number=1, location="w"), TensorType("float32", (2,)), tmp_path) is None
    many = tensor(1, [MAX_FLOATS + 1], raw_data=bytes(4 * (MAX_FLOATS + 1)))
    assert initializer_value(many, initializer_type(many), tmp_path) is None
    few = tensor(1, [MAX_FLOATS], raw_data=bytes(4 * MAX_FLOATS))
    assert initializer_value(few, initializer_type(few), tmp_path) is not None


def test_files_of_shapes_are_those_of_small_integers_in_any_body() -> None:
    inner = onnx.helper.make_graph([], "b", [], [], [external("a", location="deep")])
    node = onnx.helper.make_node("If", ["c"], ["y"], then_branch=inner)
    several = onnx.helper.make_node(
        "F", [], [], parts=[onnx.helper.make_graph([], "p", [], [], [external(location="more")])]
    )
    weights = [
        external("i", location="shape"),
        external("f", number=1, location="weight"),
        external("l", dims=(MAX_INTEGERS + 1,), location="table"),
        tensor(7, [1], int64_data=[1]),
    ]
    graph = onnx.helper.make_graph([node, several], "g", [], [], weights)
    assert shape_files(graph) == {"shape", "deep", "more"}


@pytest.mark.parametrize(
    ("attributes", "type_", "value"),
    [
        ({"value": onnx.helper.make_tensor("t", 7, [2], [3, 4])}, "int64[2]", [3, 4]),
        ({"value_int": 5}, "int64[]", 5),
        ({"value_ints": [5, 6]}, "int64[2]", [5, 6]),
        ({"value_float": 1.5}, "float32[]", 1.5),
        ({"value_floats": [1.5]}, "float32[1]", [1.5]),
        ({"value_string": "abc"}, "string[]", None),
        ({"value_strings": ["abc", "d"]}, "string[2]", None),
    ],
)
def test_a_constant_has_the_type_and_value_of_its_attribute(
    attributes: dict[str, object], type_: str, value: object
) -> None:
    (found,), (known,) = constant_of(onnx.helper.make_node("Constant", [], ["y"], **attributes))
    assert str(found) == type_
    assert (None if known is None else known.low.tolist()) == value


def test_a_sparse_constant_has_its_dense_type_and_no_value() -> None:
    sparse = onnx.helper.make_sparse_tensor(
        onnx.helper.make_tensor("v", 1, [1], [2.0]), onnx.helper.make_tensor("i", 7, [1], [3]), [4, 5]
    )
    (found,), (known,) = constant_of(onnx.helper.make_node("Constant", [], ["y"], sparse_value=sparse))
    assert (str(found), known) == ("float32[4, 5]", None)


@pytest.mark.parametrize(
    "node",
    [onnx.helper.make_node("Constant", [], ["y"]), onnx.helper.make_node("Constant", [], ["y", "z"], value_int=1)],
)
def test_a_constant_of_no_value_or_two_outputs_is_refused(node: onnx.NodeProto) -> None:
    with pytest.raises(ModelError, match="has no value, or not one output"):
        constant_of(node)
