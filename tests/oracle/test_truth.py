"""Types and peaks held against what onnxruntime produced on 86 exported networks."""

from __future__ import annotations

import onnx
import pytest

import graphmem
from graphmem.ir.types import BoundedType, TensorType
from tests.oracle import naive, networks

DATA_DEPENDENT = {"mixtral_eager_legacy_dyn", "mixtral_eager_legacy_static"}  # NonZero over the router's choice


@pytest.mark.parametrize("network", networks.names())
def test_every_tensor_has_the_recorded_type(network: str) -> None:
    recorded = networks.truth()[network]
    path = networks.path_of(network)
    proto = onnx.load(path, load_external_data=False)
    analysis = graphmem.analyze(path, networks.dims_of(network, proto))
    tensors = analysis.graph.tensors
    for name, (shape, dtype) in recorded.items():
        found = tensors[name].type
        if network in DATA_DEPENDENT and isinstance(found, BoundedType):
            assert found.dtype == dtype, name
            assert len(found.high) == len(shape), name
            assert all(a <= n <= b for a, n, b in zip(found.low, shape, found.high, strict=True)), (
                name,
                str(found),
                shape,
            )
        else:
            assert found == TensorType(dtype, tuple(shape)), name
    assert analysis.is_complete == (network not in DATA_DEPENDENT)


@pytest.mark.parametrize("memory_model", ["plain", "views"])
@pytest.mark.parametrize("network", networks.names())
def test_the_peak_is_the_naive_sum_over_recorded_shapes(network: str, memory_model: str) -> None:
    recorded = networks.truth()[network]
    path = networks.path_of(network)
    proto = onnx.load(path, load_external_data=False)
    dims = networks.dims_of(network, proto)
    analysis = graphmem.analyze(path, dims, memory_model=memory_model)
    sizes = {name: naive.nbytes(shape, dtype) for name, (shape, dtype) in recorded.items()}
    for info in proto.graph.input:
        tensor = info.type.tensor_type
        shape = [dims[d.dim_param] if d.dim_param else d.dim_value for d in tensor.shape.dim]
        sizes.setdefault(info.name, naive.nbytes(shape, {1: "float32", 7: "int64"}[tensor.elem_type]))
    if network in DATA_DEPENDENT:
        assert analysis.inference.peak >= naive.naive_peak(proto.graph, sizes, memory_model == "views")
    else:
        assert analysis.inference.peak == naive.naive_peak(proto.graph, sizes, memory_model == "views")


@pytest.mark.parametrize("network", networks.names()[::12])
def test_memory_order_is_never_above_file_order(network: str) -> None:
    networks.truth()
    path = networks.path_of(network)
    dims = networks.dims_of(network, onnx.load(path, load_external_data=False))
    in_file_order = graphmem.analyze(path, dims).inference
    reordered = graphmem.analyze(path, dims, order="memory").inference
    assert reordered.order_bound <= reordered.peak <= in_file_order.peak


def test_a_llama_of_seven_billion_parameters_is_typed_without_its_weights() -> None:
    networks.truth()
    path = networks.path_of("llama7b_dynamo_dyn")
    proto = onnx.load(path, load_external_data=False)
    analysis = graphmem.analyze(path, networks.dims_of("llama7b", proto))
    assert analysis.is_complete
    assert all(isinstance(tensor.type, TensorType) for tensor in analysis.graph.tensors.values())
    assert analysis.model.weight_bytes > 26 * 10**9
