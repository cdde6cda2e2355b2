"""Operators beyond ONNX's own domain: the types that our rules give against those that onnxruntime computes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from graphmem.ir.types import TensorType
from graphmem.reader import graph_of
from graphmem.reader.protos import DTYPES

onnxruntime = pytest.importorskip("onnxruntime")

MS, ML, NCHWC = "com.microsoft", "ai.onnx.ml", "com.microsoft.nchwc"


@dataclass(frozen=True)
class Op:
    """One call: inputs as "float32 2 3" (a type and a shape), as an array (baked as an initializer) or "" (omitted)."""

    name: str
    inputs: tuple[Any, ...]
    outputs: int = 1
    domain: str = MS
    attributes: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}-{len(self.inputs)}-{self.outputs}"


def op(name: str, *inputs: Any, outputs: int = 1, domain: str = MS, **attributes: Any) -> Op:
    return Op(name, inputs, outputs, domain, attributes)


def f(*shape: int) -> str:
    return " ".join(("float32", *map(str, shape)))


def u8(*shape: int) -> str:
    return " ".join(("uint8", *map(str, shape)))


SCALE, ZERO, ZERO_I8 = np.float32(0.1), np.uint8(1), np.int8(1)
SEQLENS = np.array([3, 3], np.int32)
TREE = {
    "nodes_falsenodeids": [2, 0, 0], "nodes_truenodeids": [1, 0, 0], "nodes_featureids": [0, 0, 0],
    "nodes_hitrates": [1.0, 1.0, 1.0], "nodes_missing_value_tracks_true": [0, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_nodeids": [0, 1, 2], "nodes_treeids": [0, 0, 0],
    "nodes_values": [0.5, 0.0, 0.0],
}  # fmt: skip
CLASSES = {"class_ids": [0, 1], "class_nodeids": [1, 2], "class_treeids": [0, 0], "class_weights": [1.0, 1.0]}
TARGETS = {"target_ids": [0, 1], "target_nodeids": [1, 2], "target_treeids": [0, 0], "target_weights": [1.0, 1.0]}

OPS = [
    op("Attention", f(2, 3, 8), f(8, 24), f(24), num_heads=2, outputs=2),
    op("Attention", f(2, 3, 8), f(8, 28), f(28), num_heads=2, qkv_hidden_sizes=[8, 8, 12]),
    op("Attention", f(2, 3, 8), f(8, 24), f(24), "", f(2, 2, 2, 5, 4), num_heads=2, unidirectional=1, outputs=2),
    op("BiasGelu", f(2, 3, 8), f(8)),
    op("ConvTransposeWithDynamicPads", f(1, 3, 5, 5), f(3, 4, 3, 3), np.array([1, 1, 1, 1]), strides=[2, 2]),
    op("DynamicQuantizeLSTM", f(5, 2, 4), np.zeros((1, 4, 12), np.uint8), np.zeros((1, 3, 12), np.uint8), "", "", "",
       "", "", np.zeros(1, np.float32), np.zeros(1, np.uint8), np.zeros(1, np.float32), np.zeros(1, np.uint8),
       hidden_size=3, outputs=3),
    op("DynamicQuantizeMatMul", f(2, 3, 4), u8(4, 5), SCALE, ZERO),
    op("EmbedLayerNormalization", np.zeros((2, 3), np.int32), np.zeros((2, 3), np.int32), f(10, 8), f(6, 8), f(2, 8),
       f(8), f(8), np.ones((2, 3), np.int32), outputs=2),
    op("FastGelu", f(2, 3, 8), f(8)),
    op("FusedConv", f(1, 4, 9, 9), f(6, 2, 3, 3), f(6), group=2, strides=[2, 2], pads=[1, 1, 1, 1], activation="Relu"),
    op("FusedGemm", f(4, 3), f(4, 5), f(5), transA=1, activation="Relu"),
    op("FusedMatMul", f(2, 4, 3), f(2, 4, 5), transA=1),
    op("FusedMatMul", f(3, 2, 4), f(2, 4, 5), transBatchA=1),
    op("FusedMatMul", f(3, 2, 4), f(4, 2, 5), transBatchA=1, transBatchB=1),
    op("FusedMatMul", f(4, 2, 3), f(4, 2, 5), transA=1, transBatchA=1, transBatchB=1),
    op("FusedMatMul", f(3, 4), f(5, 4), transB=1),
    op("TransposeMatMul", f(2, 4, 3), f(4, 5), transA=1),
    op("Gelu", f(2, 3)),
    op("GroupQueryAttention", f(2, 3, 32), f(2, 3, 16), f(2, 3, 16), f(2, 2, 0, 8), f(2, 2, 0, 8),
       np.array([2, 2], np.int32), np.int32(3), num_heads=4, kv_num_heads=2, outputs=3),
    op("GroupQueryAttention", f(2, 1, 32), f(2, 1, 16), f(2, 1, 16), f(2, 2, 7, 8), f(2, 2, 7, 8), SEQLENS,
       np.int32(4), num_heads=4, kv_num_heads=2, outputs=3),
    op("GroupQueryAttention", f(2, 3, 64), "", "", f(2, 2, 0, 8), f(2, 2, 0, 8), np.array([2, 2], np.int32),
       np.int32(3), num_heads=4, kv_num_heads=2, outputs=3),
    op("Inverse", f(2, 3, 3)),
    op("MatMulInteger16", "int16 2 3", "int16 3 4"),
    op("MatMulIntegerToFloat", u8(2, 3), u8(3, 4), SCALE, SCALE, ZERO, ZERO),
    op("MatMulNBits", f(2, 3, 64), u8(10, 2, 16), f(10, 2), K=64, N=10, bits=4, block_size=32),
    op("MultiHeadAttention", f(2, 3, 8), f(2, 5, 8), f(2, 5, 8), num_heads=2, outputs=3),
    op("MultiHeadAttention", f(2, 3, 8), f(2, 5, 8), f(2, 5, 12), num_heads=2),
    op("MultiHeadAttention", f(2, 3, 8), f(2, 2, 5, 4), f(2, 2, 5, 4), num_heads=2),
    op("MultiHeadAttention", f(2, 3, 8), f(2, 3, 8), f(2, 3, 8), "", "", "", f(2, 2, 5, 4), f(2, 2, 5, 4),
       num_heads=2, outputs=3),
    op("NhwcMaxPool", u8(1, 8, 8, 4), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    op("QAttention", u8(2, 3, 8), np.zeros((8, 24), np.uint8), f(24), SCALE, SCALE, "", ZERO, ZERO, num_heads=2),
    op("QGemm", u8(2, 3), SCALE, ZERO, np.zeros((3, 4), np.uint8), SCALE, ZERO),
    op("QGemm", u8(2, 3), SCALE, ZERO, np.zeros((4, 3), np.uint8), SCALE, ZERO, "", SCALE, ZERO, transB=1),
    op("QLinearAdd", u8(2, 3), SCALE, ZERO, u8(3), SCALE, ZERO, SCALE, ZERO),
    op("QLinearMul", u8(2, 1), SCALE, ZERO, u8(1, 3), SCALE, ZERO, SCALE, ZERO),
    op("QLinearAveragePool", u8(1, 4, 8, 8), SCALE, ZERO, SCALE, ZERO, kernel_shape=[3, 3], strides=[2, 2]),
    op("QLinearAveragePool", u8(1, 8, 8, 4), SCALE, ZERO, SCALE, ZERO, kernel_shape=[3, 3], channels_last=1),
    op("QLinearConcat", SCALE, ZERO, u8(2, 3), SCALE, ZERO, u8(2, 4), SCALE, ZERO, axis=1),
    op("QLinearConv", u8(1, 8, 8, 4), SCALE, ZERO, np.zeros((6, 4, 3, 3), np.uint8), SCALE, ZERO, SCALE, ZERO,
       channels_last=1, pads=[1, 1, 1, 1]),
    op("QLinearGlobalAveragePool", u8(1, 4, 8, 8), SCALE, ZERO, SCALE, ZERO),
    op("QLinearGlobalAveragePool", u8(1, 8, 8, 4), SCALE, ZERO, SCALE, ZERO, channels_last=1),
    op("QLinearLeakyRelu", u8(2, 3), SCALE, ZERO, SCALE, ZERO),
    op("QLinearSigmoid", u8(2, 3), SCALE, ZERO, SCALE, ZERO),
    op("QLinearSoftmax", u8(2, 3), SCALE, ZERO, SCALE, ZERO, opset=13),
    op("QLinearWhere", "bool 2 1", u8(2, 3), SCALE, ZERO, u8(3), SCALE, ZERO, SCALE, ZERO),
    op("QuickGelu", f(2, 3)),
    op("QuantizeLinear", f(2, 3), SCALE, ZERO),
    op("DequantizeLinear", u8(2, 3), SCALE, ZERO),
    op("RotaryEmbedding", f(2, 3, 16), np.array([0]), f(10, 4), f(10, 4), num_heads=2),
    op("SkipLayerNormalization", f(2, 3, 8), f(2, 3, 8), f(8), f(8), f(8), outputs=4),
    op("SkipSimplifiedLayerNormalization", f(2, 3, 8), f(2, 3, 8), f(8), outputs=4),
    op("SimplifiedLayerNormalization", f(2, 3, 8), f(8), domain="", outputs=2),
    op("Trilu", f(3, 3)),
    op("Conv", f(1, 16, 9, 9), f(32, 16, 3, 3), domain=NCHWC, strides=[2, 2], pads=[1, 1, 1, 1]),
    op("MaxPool", f(1, 16, 9, 9), domain=NCHWC, kernel_shape=[3, 3], strides=[2, 2]),
    op("AveragePool", f(1, 16, 9, 9), domain=NCHWC, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    op("GlobalAveragePool", f(1, 16, 9, 9), domain=NCHWC),
    op("GlobalMaxPool", f(1, 16, 9, 9), domain=NCHWC),
    op("ReorderInput", f(1, 32, 5, 4), domain=NCHWC),
    op("ReorderInput", f(1, 5, 4, 32), domain=NCHWC, channels_last=1),
    op("ReorderOutput", f(1, 32, 5, 4), domain=NCHWC, channels=30),
    op("ReorderOutput", f(1, 32, 5, 4), domain=NCHWC, channels=30, channels_last=1),
    op("Upsample", f(1, 16, 5, 4), domain=NCHWC, scales=[1, 1, 2, 3]),
    op("Scaler", f(3, 2), domain=ML, offset=[0.0, 0.0], scale=[1.0, 1.0]),
    op("Imputer", f(3, 2), domain=ML, imputed_value_floats=[0.0], replaced_value_float=1.0),
    op("Normalizer", f(3, 2), domain=ML, norm="L2"),
    op("FeatureVectorizer", f(3, 2), f(3, 4), domain=ML, inputdimensions=[2, 4]),
    op("LinearRegressor", f(3, 2), domain=ML, coefficients=[1.0] * 4, intercepts=[0.0] * 2, targets=2),
    op("LinearClassifier", f(3, 2), domain=ML, outputs=2, coefficients=[1.0] * 6, intercepts=[0.0] * 3,
       classlabels_ints=[1, 2, 3]),
    op("TreeEnsembleClassifier", f(3, 2), domain=ML, outputs=2, classlabels_int64s=[4, 5], **TREE, **CLASSES),
    op("TreeEnsembleClassifier", f(3, 2), domain=ML, outputs=2, classlabels_strings=["a", "b"], **TREE, **CLASSES),
    op("TreeEnsembleRegressor", f(3, 2), domain=ML, n_targets=2, **TREE, **TARGETS),
    op("SVMRegressor", f(3, 2), domain=ML, coefficients=[1.0, 1.0], kernel_type="LINEAR", n_supports=0,
       kernel_params=[0.0, 0.0, 3.0], rho=[0.0]),
    op("Binarizer", f(3, 2), domain=ML),
    op("OneHotEncoder", "int64 3 2", domain=ML, cats_int64s=[0, 1, 2]),
    op("ArrayFeatureExtractor", f(3, 4), np.array([0, 2]), domain=ML),
    op("LabelEncoder", "int64 3 2", domain=ML, keys_int64s=[0], values_floats=[1.5]),
]  # fmt: skip


def built(call: Op) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The model of one node, and what its free inputs are fed with."""
    names, infos, weights, feeds = [], [], [], {}
    for position, given in enumerate(call.inputs):
        name = "" if isinstance(given, str) and not given else f"i{position}"
        names.append(name)
        if isinstance(given, str) and given:
            dtype, *shape = given.split()
            array = np.ones([int(n) for n in shape], dtype)
            if call.name == "Inverse":
                array = array + np.eye(array.shape[-1], dtype=array.dtype)
            feeds[name] = array
            number = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            infos.append(onnx.helper.make_tensor_value_info(name, number, array.shape))
        elif name:
            weights.append(onnx.numpy_helper.from_array(np.asarray(given), name))
    outputs = [f"o{i}" for i in range(call.outputs)]
    if "SkipLayer" in call.name or "SkipSimplified" in call.name:  # the statistics are for training
        outputs[1:3] = ["", ""]
    node = onnx.helper.make_node(call.name, names, outputs, domain=call.domain, **call.attributes)
    graph = onnx.helper.make_graph([node], "g", infos, [onnx.ValueInfoProto(name=o) for o in outputs if o], weights)
    opsets = [onnx.helper.make_opsetid(d, v) for d, v in (("", 17), (MS, 1), (NCHWC, 1), (ML, 3))]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), feeds


@pytest.mark.parametrize("call", OPS, ids=str)
def test_a_rule_gives_the_types_that_onnxruntime_computes(call: Op) -> None:
    model, feeds = built(call)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    results = session.run(None, feeds)
    tensors = graph_of(model, Path("/nonexistent")).tensors
    for info, result in zip(model.graph.output, results, strict=True):
        array = np.asarray(result)
        text = array.dtype.kind in "OUS"
        dtype = "string" if text else DTYPES[onnx.helper.np_dtype_to_tensor_dtype(array.dtype)]
        assert tensors[info.name].type == TensorType(dtype, array.shape)
