"""Bytes of types: packed sub-byte elements, bounds, and what has no size at all."""

from __future__ import annotations

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphmem.ir.types import BITS, BoundedType, TensorType, UnknownType, packed_nbytes


@pytest.mark.parametrize(
    ("dtype", "shape", "nbytes"),
    [
        ("float32", (2, 3), 24),
        ("int64", (), 8),
        ("bool", (7,), 7),
        ("bfloat16", (3,), 6),
        ("int4", (3,), 2),  # 12 bits
        ("uint2", (5,), 2),  # 10 bits
        ("float6e3m2", (5,), 4),  # 30 bits
        ("float8e4m3fn", (0, 9), 0),
        ("complex128", (2,), 32),
    ],
)
def test_bytes_of_a_tensor(dtype: str, shape: tuple[int, ...], nbytes: int) -> None:
    assert TensorType(dtype, shape).nbytes == nbytes


@given(st.sampled_from(sorted(BITS)), st.integers(0, 2**70), st.integers(0, 2**70))
def test_bytes_grow_with_elements_and_never_overflow(dtype: str, one: int, more: int) -> None:
    assert packed_nbytes(dtype, one) <= packed_nbytes(dtype, one + more)
    assert 8 * packed_nbytes(dtype, one) - BITS[dtype] * one in range(8)


def test_every_element_type_of_onnx_but_strings_has_a_width() -> None:
    named = {"float": "float32", "double": "float64"}
    for name, _ in onnx.TensorProto.DataType.items():
        if name not in ("UNDEFINED", "STRING"):
            assert named.get(name.lower(), name.lower()) in BITS


def test_a_bound_counts_its_greatest_shape_and_an_unknown_type_has_no_bytes() -> None:
    assert BoundedType("int64", (2, 0), (2, 5)).nbytes == 80
    assert str(BoundedType("int64", (2, 0), (2, 5))) == "int64[2, 0..5]"
    assert not hasattr(UnknownType("float32", (None, 4)), "nbytes")
    assert not TensorType("string", (3,)).has_size
