"""Rules for operators beyond what ONNX's own inference decides, one call a line: inputs -> the types of the outputs.

Where onnxruntime computes the operator on a CPU, tests/oracle/test_contrib.py holds the rules against its results; here
stand the layouts that it computes elsewhere, and calls that the specification does not allow, of which nothing is said.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from graphmem.reader import graph_of

MS, ML, NCHWC = "com.microsoft", "ai.onnx.ml", "com.microsoft.nchwc"
OPSETS = {"": 17, MS: 1, ML: 3, NCHWC: 1, "ai.onnx.preview": 1, "ai.onnx.preview.training": 1}
NUMBER = {
    "float32": 1, "uint8": 2, "int8": 3, "int16": 5, "int32": 6, "int64": 7, "string": 8, "bool": 9, "float16": 10,
}  # fmt: skip
UNKNOWN = "?[...]"


def types_of(domain: str, name: str, inputs: list[Any], outputs: int, opset: int = 17, **attributes: Any) -> list[str]:
    """What the reader says of one node. Inputs: "float32 2 3", an array (an initializer), "" or None (omitted)."""
    names, infos, weights = [], [], []
    for position, given in enumerate(inputs):
        names.append(f"i{position}" if not (given is None or (isinstance(given, str) and not given)) else "")
        if names[-1] and isinstance(given, str):
            dtype, *shape = given.split()
            infos.append(onnx.helper.make_tensor_value_info(names[-1], NUMBER[dtype], [int(n) for n in shape]))
        elif names[-1]:
            weights.append(onnx.numpy_helper.from_array(np.asarray(given), names[-1]))
    made = [f"o{i}" for i in range(outputs)]
    node = onnx.helper.make_node(name, names, made, domain=domain, **attributes)
    graph = onnx.helper.make_graph([node], "g", infos, [onnx.ValueInfoProto(name=o) for o in made], weights)
    opsets = [onnx.helper.make_opsetid(d, v) for d, v in {**OPSETS, "": opset}.items()]
    tensors = graph_of(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), Path("/nonexistent")).tensors
    return [str(tensors[o].type) for o in made]


def f(*shape: int) -> str:
    return " ".join(("float32", *map(str, shape)))


def h(*shape: int) -> str:
    return " ".join(("float16", *map(str, shape)))


def u8(*shape: int) -> str:
    return " ".join(("uint8", *map(str, shape)))


S = np.float32(0.5)
Z = np.uint8(1)
LSTM_W = [u8(1, 4, 28), u8(1, 7, 28)]
CALLS: list[tuple[str, str, list[Any], dict[str, Any], list[str]]] = [
    # attention: B 2, S 3, heads 2
    (MS, "Attention", [f(2, 3, 8), f(8, 30)], {"num_heads": 2}, ["float32[2, 3, 10]", "float32[2, 2, 2, 3, 5]"]),
    (MS, "Attention", [h(2, 3, 8), h(8, 28)], {"num_heads": 2, "qkv_hidden_sizes": [8, 6, 14]},
     ["float16[2, 3, 14]", "float16[2, 2, 2, 3, 7]"]),
    (MS, "Attention", [f(2, 3, 8), f(8, 24), "", "", f(2, 2, 2, 5, 4)], {"num_heads": 2},
     ["float32[2, 3, 8]", "float32[2, 2, 2, 8, 4]"]),
    (MS, "Attention", [f(2, 3, 8), f(8, 24), "", "", f(2, 2, 2, 5, 4)], {"num_heads": 2, "past_present_share_buffer": 1},
     ["float32[2, 3, 8]", "float32[2, 2, 2, 5, 4]"]),
    (MS, "Attention", [f(2, 3), f(8, 24)], {"num_heads": 2}, [UNKNOWN, UNKNOWN]),
    (MS, "Attention", [f(2, 3, 8), f(8, 24)], {}, [UNKNOWN, UNKNOWN]),
    (MS, "QAttention", [u8(2, 3, 8), u8(8, 24), "", h(1)], {"num_heads": 2}, ["float16[2, 3, 8]", "float16[2, 2, 2, 3, 4]"]),
    (MS, "QAttention", [u8(2, 3, 8), u8(8, 24), "", S, S, "", "", "", f(2, 2, 2, 6, 4)], {"num_heads": 2},
     ["float32[2, 3, 8]", "float32[2, 2, 2, 9, 4]"]),
    # MultiHeadAttention: separate, packed, and keys of another layout; the past in front
    (MS, "MultiHeadAttention", [f(2, 3, 8), f(2, 5, 8), f(2, 5, 12)], {"num_heads": 2},
     ["float32[2, 3, 12]", "float32[2, 2, 5, 4]", "float32[2, 2, 5, 6]", "float32[2, 2, 3, 5]"]),
    (MS, "MultiHeadAttention", [f(2, 3, 8), f(2, 2, 5, 4), f(2, 2, 5, 7)], {"num_heads": 2},
     ["float32[2, 3, 14]", "float32[2, 2, 5, 4]", "float32[2, 2, 5, 7]", "float32[2, 2, 3, 5]"]),
    (MS, "MultiHeadAttention", [f(2, 3, 2, 3, 4)], {"num_heads": 2},
     ["float32[2, 3, 8]", "float32[2, 2, 3, 4]", "float32[2, 2, 3, 4]", "float32[2, 2, 3, 3]"]),
    (MS, "MultiHeadAttention", [f(2, 3, 8), f(2, 5, 2, 2, 4)], {"num_heads": 2},
     ["float32[2, 3, 8]", "float32[2, 2, 5, 4]", "float32[2, 2, 5, 4]", "float32[2, 2, 3, 5]"]),
    (MS, "MultiHeadAttention", [f(2, 3, 8), f(2, 5, 8), f(2, 5, 8), "", "", "", f(2, 2, 7, 4), f(2, 2, 7, 4)], {"num_heads": 2},
     ["float32[2, 3, 8]", "float32[2, 2, 12, 4]", "float32[2, 2, 12, 4]", "float32[2, 2, 3, 12]"]),
    (MS, "MultiHeadAttention", [f(2, 1, 8), f(2, 1, 8), f(2, 1, 8), "", "", "", f(2, 2, 9, 4), f(2, 2, 9, 5), "int32 1"],
     {"num_heads": 2}, ["float32[2, 1, 8]", "float32[2, 2, 9, 4]", "float32[2, 2, 9, 5]"]),
    (MS, "MultiHeadAttention", [f(2, 3, 8), f(2, 5, 8), f(2, 2, 5, 4)], {"num_heads": 2}, [UNKNOWN] * 4),
    (MS, "MultiHeadAttention", [f(2, 3, 8), f(2, 2, 5, 4), f(2, 5, 8)], {"num_heads": 2}, [UNKNOWN] * 4),
    (MS, "MultiHeadAttention", [f(2, 3, 8), f(5, 8), f(5, 8)], {"num_heads": 2}, [UNKNOWN] * 4),
    # GroupQueryAttention: 4 heads of queries, 2 of keys
    (MS, "GroupQueryAttention", [f(2, 3, 32), f(2, 3, 16), f(2, 3, 16), "", "", "int32 2", np.int32(9)],
     {"num_heads": 4, "kv_num_heads": 2}, ["float32[2, 3, 32]", "float32[2, 2, 9, 8]", "float32[2, 2, 9, 8]"]),
    (MS, "GroupQueryAttention", [f(2, 3, 64), "", "", "", "", "int32 2", np.int32(9)],
     {"num_heads": 4, "kv_num_heads": 2}, ["float32[2, 3, 32]", "float32[2, 2, 9, 8]", "float32[2, 2, 9, 8]"]),
    (MS, "GroupQueryAttention", [f(2, 1, 32), f(2, 1, 16), f(2, 1, 16), h(2, 2, 12, 6), h(2, 2, 12, 6), "int32 2", np.int32(9)],
     {"num_heads": 4, "kv_num_heads": 2}, ["float32[2, 1, 32]", "float16[2, 2, 12, 6]", "float16[2, 2, 12, 6]"]),
    (MS, "GroupQueryAttention", [f(2, 1, 32), f(2, 1, 16), f(2, 1, 16), f(2, 2, 12, 8), f(2, 2, 12, 8), "int32 2", np.int32(13)],
     {"num_heads": 4, "kv_num_heads": 2}, ["float32[2, 1, 32]", "float32[2, 2, 13, 8]", "float32[2, 2, 13, 8]"]),
    (MS, "GroupQueryAttention", [f(2, 3, 32), f(2, 3, 16), f(2, 3, 16), "", "", "int32 2", "int32"],
     {"num_heads": 4, "kv_num_heads": 2}, ["float32[2, 3, 32]", "float32[2, 2, ?, 8]", "float32[2, 2, ?, 8]"]),
    (MS, "DecoderMaskedMultiHeadAttention", [f(2, 1, 8), f(2, 1, 8), f(2, 1, 10), "", "", f(2, 2, 9, 4), f(2, 2, 9, 5)],
     {"num_heads": 2, "past_present_share_buffer": 1}, ["float32[2, 1, 10]", "float32[2, 2, 9, 4]", "float32[2, 2, 9, 5]"]),
    (MS, "DecoderMaskedMultiHeadAttention", [f(2, 1, 24), "", "", "", "", f(2, 2, 9, 4), f(2, 2, 9, 4)],
     {"num_heads": 2, "past_present_share_buffer": 1}, ["float32[2, 1, 8]", "float32[2, 2, 9, 4]", "float32[2, 2, 9, 4]"]),
    (MS, "DecoderMaskedMultiHeadAttention", [f(2, 1, 8), f(2, 2, 6, 4), f(2, 2, 6, 4), "", "", f(2, 2, 9, 4), f(2, 2, 9, 4)],
     {"num_heads": 2, "past_present_share_buffer": 1}, ["float32[2, 1, 8]", "float32[2, 2, 9, 4]", "float32[2, 2, 9, 4]"]),
    (MS, "DecoderMaskedMultiHeadAttention", [f(2, 1, 8), f(2, 1, 8), f(2, 1, 8), "", "", f(2, 2, 9, 4), f(2, 2, 9, 4)],
     {"num_heads": 2}, [UNKNOWN] * 3),
    (MS, "DecoderMaskedMultiHeadAttention", [f(2, 1, 8), f(2, 1, 8), f(2, 1, 8)],
     {"num_heads": 2, "past_present_share_buffer": 1}, [UNKNOWN] * 3),
    # fusions
    (MS, "NhwcConv", [f(1, 9, 8, 4), f(6, 4, 3, 3)], {"kernel_shape": [3, 3]}, ["float32[1, 7, 6, 6]"]),
    (MS, "NhwcFusedConv", [h(1, 9, 8, 4), h(6, 4, 3, 3)], {"kernel_shape": [3, 3], "strides": [2, 1], "pads": [1, 1, 1, 1], "group": 2},
     ["float16[1, 5, 8, 6]"]),
    (MS, "NhwcMaxPool", [u8(1, 9, 8, 4)], {"kernel_shape": [3, 3]}, ["uint8[1, 7, 6, 4]"]),
    (MS, "ConvTransposeWithDynamicPads", [f(1, 3, 5, 5), f(3, 4, 3, 3)], {"strides": [2, 2]}, ["float32[1, 4, 11, 11]"]),
    (MS, "ConvTransposeWithDynamicPads", [f(1, 3, 5, 5), f(3, 4, 3, 3), np.array([1, 0, 1, 0])], {"strides": [2, 2]},
     ["float32[1, 4, 9, 11]"]),
    (MS, "ConvTransposeWithDynamicPads", [f(1, 3, 5, 5), f(3, 4, 3, 3), "int64 4"], {}, [UNKNOWN]),
    (MS, "FusedGemm", [f(4, 3), f(5, 4)], {"transA": 1, "transB": 1}, ["float32[3, 5]"]),
    (MS, "FusedGemm", [f(4, 3), f(5, 4)], {}, [UNKNOWN]),
    (MS, "FusedMatMul", [f(2, 3, 4), f(2, 5, 4)], {"transB": 1}, ["float32[2, 3, 5]"]),
    (MS, "FusedMatMul", [f(4), f(4, 5)], {"transA": 1}, ["float32[5]"]),
    (MS, "FusedMatMul", [f(3, 4), f(4)], {"transB": 1}, ["float32[3]"]),
    (MS, "FusedMatMul", [f(4), f(4)], {}, ["float32[]"]),
    (MS, "FusedMatMul", [f(4, 2, 3), f(2, 3, 5)], {"transBatchA": 1}, ["float32[2, 4, 5]"]),
    (MS, "FusedMatMul", [f(3, 2, 7, 4), f(2, 7, 4, 5)], {"transBatchA": 1}, ["float32[2, 7, 3, 5]"]),
    (MS, "FusedMatMul", [f(2, 7, 3, 4), f(4, 2, 7, 5)], {"transBatchB": 1}, ["float32[2, 7, 3, 5]"]),
    (MS, "BiasAdd", [f(2, 3, 8), f(8), f(2, 3, 8)], {}, ["float32[2, 3, 8]"]),
    (MS, "BiasGelu", [f(2, 1, 8), f(3, 8)], {}, ["float32[2, 3, 8]"]),
    (MS, "BiasGelu", [f(2, 4, 8), f(3, 8)], {}, [UNKNOWN]),
    (MS, "BiasSplitGelu", [f(2, 3, 8), f(8)], {}, ["float32[2, 3, 4]"]),
    (MS, "SkipGroupNorm", [h(2, 3, 4, 8), f(8), f(8), h(2, 3, 4, 8)], {"groups": 2, "activation": 0}, ["float16[2, 3, 4, 8]"] * 2),
    (MS, "GroupNorm", [h(2, 3, 4, 8), f(8), f(8)], {"groups": 2, "activation": 0}, ["float16[2, 3, 4, 8]"]),
    (MS, "SkipLayerNormalization", [h(2, 3, 8), h(2, 3, 8), h(8)], {},
     ["float16[2, 3, 8]", "float32[2, 3, 1]", "float32[2, 3, 1]", "float16[2, 3, 8]"]),
    ("", "SimplifiedLayerNormalization", [h(2, 3, 8), h(8)], {}, ["float16[2, 3, 8]", "float32[2, 3, 1]"]),
    ("", "SimplifiedLayerNormalization", [h(8), h(8)], {}, ["float16[8]", "float32[1]"]),
    ("", "SimplifiedLayerNormalization", [h(2, 3, 8), h(3, 8)], {"axis": 1}, ["float16[2, 3, 8]", "float32[2, 1, 1]"]),
    (MS, "EmbedLayerNormalization", ["int32 2 3", "int32 2 3", h(10, 8), h(6, 8)], {},
     ["float16[2, 3, 8]", "int32[2]", "float16[2, 3, 8]"]),
    (MS, "Inverse", [f(2, 3, 3)], {}, ["float32[2, 3, 3]"]),
    (MS, "Inverse", [f(3, 3)], {}, ["float32[3, 3]"]),
    (MS, "Inverse", [f(3)], {}, [UNKNOWN]),
    # quantized
    (MS, "MatMulNBits", [f(2, 3, 64), u8(10, 2, 16), f(10, 2)], {"K": 64, "N": 10}, ["float32[2, 3, 10]"]),
    (MS, "MatMulNBits", [f(2, 3, 60), u8(10, 2, 16), f(10, 2)], {"K": 64, "N": 10}, [UNKNOWN]),
    (MS, "MatMulIntegerToFloat", [u8(2, 3), u8(3, 4), h(), h()], {}, ["float16[2, 4]"]),
    (MS, "DynamicQuantizeMatMul", [h(2, 3), u8(3, 4), h(1)], {}, ["float16[2, 4]"]),
    (MS, "MatMulInteger16", ["int16 2 3", "int16 3 4"], {}, ["int32[2, 4]"]),
    (MS, "MatMulInteger16", ["int16 2 3", "int16 4 3"], {}, [UNKNOWN]),
    (MS, "QLinearAdd", [u8(2, 3), S, Z, "int8 3", S, np.int8(0), S, np.int8(0)], {}, ["int8[2, 3]"]),
    (MS, "QLinearWhere", ["bool 4 1", u8(3), S, Z, "int8 1", S, np.int8(0), S, np.int8(0)], {}, ["int8[4, 3]"]),
    (MS, "QGemm", [u8(3, 2), S, Z, u8(3, 4), S, Z], {"transA": 1}, ["float32[2, 4]"]),
    (MS, "QGemm", [u8(2, 3), S, Z, u8(3, 4), S, Z, "", S, "int8"], {}, ["int8[2, 4]"]),
    (MS, "QGemm", [u8(2, 3, 4), S, Z, u8(3, 4), S, Z], {}, [UNKNOWN]),
    (MS, "QLinearConcat", [S, np.int8(0), u8(2, 3), S, Z, u8(2, 4), S, Z, u8(2, 1), S, Z], {"axis": -1}, ["int8[2, 8]"]),
    (MS, "QLinearAveragePool", [u8(1, 9, 8, 4), S, Z, S, Z], {"kernel_shape": [3, 2], "channels_last": 1}, ["uint8[1, 7, 7, 4]"]),
    (MS, "QLinearAveragePool", [u8(1, 4, 9, 8), S, Z, S, Z], {"kernel_shape": [3, 2]}, ["uint8[1, 4, 7, 7]"]),
    (MS, "QLinearGlobalAveragePool", [u8(1, 9, 8, 4), S, Z, S, Z], {"channels_last": 1}, ["uint8[1, 1, 1, 4]"]),
    (MS, "QLinearConv", [u8(1, 9, 8, 4), S, Z, u8(6, 4, 3, 2), S, Z, S, np.int8(0)], {"channels_last": 1}, ["int8[1, 7, 7, 6]"]),
    (MS, "QLinearConv", [u8(1, 4, 9, 8), S, Z, u8(6, 4, 3, 2), S, Z, S, np.int8(0)], {}, ["int8[1, 6, 7, 7]"]),
    (MS, "QLinearReduceMean", [u8(2, 3, 4), S, Z, S, Z], {"axes": [1], "keepdims": 0}, ["uint8[2, 4]"]),
    (MS, "QLinearReduceMean", [u8(2, 3, 4), S, Z, S, Z], {"axes": [1]}, ["uint8[2, 1, 4]"]),
    (MS, "DynamicQuantizeLSTM", [f(5, 2, 4), *LSTM_W], {"hidden_size": 7, "direction": "forward"},
     ["float32[5, 1, 2, 7]", "float32[1, 2, 7]", "float32[1, 2, 7]"]),
    (MS, "DynamicQuantizeLSTM", [f(5, 2, 4), *LSTM_W], {"hidden_size": 7, "direction": "bidirectional"},
     ["float32[5, 2, 2, 7]", "float32[2, 2, 7]", "float32[2, 2, 7]"]),
    (MS, "DynamicQuantizeLSTM", [f(5, 2, 4), *LSTM_W], {"hidden_size": 7}, ["float32[5, 1, 2, 7]", "float32[1, 2, 7]", "float32[1, 2, 7]"]),
    (MS, "QuantizeLinear", [f(2, 3), S, np.int8(0)], {}, ["int8[2, 3]"]),
    (MS, "QuantizeLinear", [f(2, 3), S], {}, ["uint8[2, 3]"]),
    (MS, "DequantizeLinear", [u8(2, 3), h()], {}, ["float16[2, 3]"]),
    # blocked layouts
    (NCHWC, "Conv", [f(1, 16, 9, 9), f(32, 4, 3, 3)], {"group": 4}, ["float32[1, 32, 7, 7]"]),
    (NCHWC, "GlobalMaxPool", [f(2, 16, 9, 9)], {}, ["float32[2, 16, 1, 1]"]),
    (NCHWC, "AveragePool", [f(1, 16, 9, 9)], {"kernel_shape": [3, 3], "dilations": [1, 1]}, ["float32[1, 16, 7, 7]"]),
    (NCHWC, "AveragePool", [f(1, 16, 9, 9)], {"kernel_shape": [3, 3], "dilations": [2, 1]}, ["float32[1, 16, 5, 7]"]),
    (NCHWC, "MaxPool", [f(1, 16, 9, 9)], {"kernel_shape": [3, 3], "dilations": [2, 1]}, ["float32[1, 16, 5, 7]"]),
    (NCHWC, "ReorderInput", [f(1, 16, 5, 4)], {}, ["float32[1, 16, 5, 4]"]),
    (NCHWC, "ReorderInput", [f(1, 8, 5, 16)], {}, [UNKNOWN]),
    (NCHWC, "ReorderInput", [f(1, 5, 4, 16)], {"channels_last": 1}, ["float32[1, 16, 5, 4]"]),
    (NCHWC, "ReorderInput", [f(1, 16, 4, 15)], {"channels_last": 1}, [UNKNOWN]),
    (NCHWC, "ReorderOutput", [f(1, 16, 5, 4)], {"channels": 11}, ["float32[1, 11, 5, 4]"]),
    (NCHWC, "ReorderOutput", [f(1, 16, 5, 4)], {"channels": 11, "channels_last": 1}, ["float32[1, 5, 4, 11]"]),
    (NCHWC, "Upsample", [f(2, 16, 5, 4)], {"scales": [1, 1, 3, 2]}, ["float32[2, 16, 15, 8]"]),
    (NCHWC, "Upsample", [f(2, 16, 5, 4)], {"scales": [1, 1, 3]}, [UNKNOWN]),
    # ai.onnx.ml: a vector is one sample
    (ML, "Scaler", ["int64 3 2"], {"offset": [0.0], "scale": [1.0]}, ["float32[3, 2]"]),
    (ML, "Normalizer", ["int64 3 2"], {}, ["float32[3, 2]"]),
    (ML, "LinearRegressor", [f(3, 2)], {"targets": 4, "coefficients": [1.0] * 8}, ["float32[3, 4]"]),
    (ML, "LinearRegressor", [f(2)], {"coefficients": [1.0] * 2}, ["float32[1, 1]"]),
    (ML, "LinearRegressor", [f(3, 2, 1)], {"coefficients": [1.0] * 2}, ["float32[...]"]),
    (ML, "SVMRegressor", [f(3, 2)], {}, ["float32[3, 1]"]),
    (ML, "TreeEnsembleRegressor", [f(3, 2)], {"n_targets": 3}, ["float32[3, 3]"]),
    (ML, "TreeEnsembleClassifier", [f(3, 2)], {"classlabels_int64s": [1, 2, 7]}, ["int64[3]", "float32[3, 3]"]),
    (ML, "TreeEnsembleClassifier", [f(3, 2)], {"classlabels_strings": ["a", "b"]}, ["string[3]", "float32[3, 2]"]),
    (ML, "FeatureVectorizer", [f(3, 2), f(3, 4)], {"inputdimensions": [2, 4]}, ["float32[3, 6]"]),
    # ONNX's own, where its inference is silent
    ("ai.onnx.preview", "FlexAttention", [f(2, 4, 3, 8), f(2, 4, 5, 8), f(2, 4, 5, 6)], {}, ["float32[2, 4, 3, 6]"]),
    ("ai.onnx.preview.training", "Gradient", [f(2, 3), h(4)], {"xs": ["a", "b"], "y": "c"}, ["float32[2, 3]", "float16[4]"]),
    ("ai.onnx.preview.training", "Gradient", [f(2, 3), h(4)], {"xs": ["a"], "zs": ["b"], "y": "c"}, ["float32[2, 3]"]),
    ("", "MaxUnpool", [f(1, 1, 2, 2), "int64 1 1 2 2", np.array([1, 1, 5, 4])], {"kernel_shape": [2, 2]}, ["float32[1, 1, 5, 4]"]),
    ("", "MelWeightMatrix", [np.int64(8), np.int64(7), np.int64(9), np.float32(1), np.float32(4)], {}, ["float32[4, 8]"]),
    ("", "MelWeightMatrix", [np.int64(8), np.int64(16), np.int64(9), np.float32(1), np.float32(4)], {"output_datatype": 10}, ["float16[9, 8]"]),
    ("", "GroupNormalization", [f(2, 4, 3), f(4), f(4)], {"num_groups": 2}, ["float32[2, 4, 3]"]),
    ("", "Range", [np.array([0]), np.array([3]), np.array([2])], {}, ["int64[2]"]),
]  # fmt: skip
AT_OPSET = {"GroupNormalization": 21}


@pytest.mark.parametrize(
    ("domain", "name", "inputs", "attributes", "expected"), CALLS, ids=[f"{c[1]}-{i}" for i, c in enumerate(CALLS)]
)
def test_a_call_puts_out(
    domain: str, name: str, inputs: list[Any], attributes: dict[str, Any], expected: list[str]
) -> None:
    assert types_of(domain, name, inputs, len(expected), AT_OPSET.get(name, 17), **attributes) == expected


@pytest.mark.parametrize(("opset", "mask"), [(7, "float16"), (9, "float16"), (10, "bool"), (13, "bool")])
def test_the_mask_of_a_dropout_is_of_the_data_s_type_before_opset_10(opset: int, mask: str) -> None:
    assert types_of("", "Dropout", [h(2, 3)], 2, opset) == ["float16[2, 3]", f"{mask}[2, 3]"]


@pytest.mark.parametrize("opset", [7, 9, 13])
def test_the_statistics_of_a_training_batch_norm_have_the_mean_s_type(opset: int) -> None:
    assert (
        types_of("", "BatchNormalization", [f(2, 4, 5), f(4), f(4), f(4), f(4)], 5, opset)
        == ["float32[2, 4, 5]"] + ["float32[4]"] * 4
    )


@pytest.mark.parametrize(
    ("texts", "attributes", "expected"),
    [
        (["a b c", "d"], {}, ["string[2, 3]", "int64[2]"]),
        (["a,b", "d,e,f,g"], {"delimiter": ","}, ["string[2, 4]", "int64[2]"]),
        (["a,b", "d,e,f,g"], {"delimiter": ",", "maxsplit": 1}, ["string[2, 2]", "int64[2]"]),
        (["a", "b"], {"maxsplit": 0}, ["string[2, 1]", "int64[2]"]),
        ("string 2 3", {}, ["string[2, 3, ?]", "int64[2, 3]"]),
    ],
)
def test_split_strings_are_padded_to_the_most_of_any(
    texts: Any, attributes: dict[str, Any], expected: list[str]
) -> None:
    given = texts if isinstance(texts, str) else np.array(texts, object)
    assert types_of("", "StringSplit", [given], 2, 20, **attributes) == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ("string 5", "string[1..5]"),
        ("string 1 5", "string[1, 1..5]"),
        ("string 2 5", UNKNOWN),
        ("string 1 1 5", UNKNOWN),
    ],
)
def test_a_normalizer_keeps_at_least_one_string(texts: str, expected: str) -> None:
    assert types_of("", "StringNormalizer", [texts], 1, stopwords=["a"]) == [expected]
