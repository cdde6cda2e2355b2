"""Bytes of a model's own tensors, counted by the one table of widths."""

from __future__ import annotations

import onnx
import pytest

from graphmem.measure.prepare import tensor_nbytes


@pytest.mark.parametrize(
    ("kind", "nbytes"),
    [("FLOAT", 20), ("DOUBLE", 40), ("INT4", 3), ("UINT2", 2), ("BFLOAT16", 10), ("STRING", 0), ("UNDEFINED", 0)],
)
def test_five_elements_of_each_kind(kind: str, nbytes: int) -> None:
    assert tensor_nbytes(onnx.TensorProto(data_type=onnx.TensorProto.DataType.Value(kind), dims=[5])) == nbytes
