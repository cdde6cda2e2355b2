"""Single operators for ort_probe_none.py that neither onnx's node tests nor tests/oracle/test_contrib.py have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.oracle.test_contrib import NCHWC, Op, f, op, u8

S, ZU = np.float32(0.1), np.uint8(1)
X, W = f(2, 64, 128), f(128)
EXTRA: list[Op] = [
    op("BiasGelu", X, W),
    op("BatchNormalization", f(2, 64, 20, 20), f(64), f(64), f(64), f(64), domain="", outputs=3, training_mode=1),
    op("SkipLayerNormalization", *["float16 2 64 128"] * 2, *["float16 128"] * 3),
    op("OneHot", "int64 64 32", np.array(16), np.array([0.0, 1.0], np.float32), domain=""),
    op("Shape", X, domain=""),
    op("ReduceLogSum", X, domain="", axes=[1]),
    op("ReduceLogSumExp", X, domain="", axes=[1]),
    op("ReduceLogSumExp", X, domain="", axes=[2]),
    op("SequenceConstruct", X, X, domain=""),
    op("SequenceEmpty", domain=""),
    op("Gelu", X),
    op("QuickGelu", X),
    op("FusedMatMul", f(4, 128, 256), f(4, 256, 64)),
    op("FusedMatMul", f(4, 256, 128), f(4, 64, 256), transA=1, transB=1),
    op("FusedGemm", f(128, 256), f(256, 64), f(64), activation="Relu"),
    op("MatMul", f(4, 128, 256), f(256, 512), domain=""),
    op("MatMul", f(1, 1024), np.ones((1024, 512), np.float32), domain=""),
    op("MatMul", "float64 128 256", "float64 256 64", domain=""),
    op("MatMul", "int32 128 256", "int32 256 64", domain=""),
    op("Gemm", f(128, 256), f(512, 256), f(512), domain="", transB=1),
    op("Gemm", f(128, 256), np.ones((256, 512), np.float32), f(512), domain="", alpha=0.5),
    op("SkipLayerNormalization", X, X, W, W, W, outputs=4),
    op("SkipLayerNormalization", "float16 2 64 128", "float16 2 64 128", "float16 128", "float16 128"),
    op("SkipSimplifiedLayerNormalization", X, X, W, outputs=4),
    op("SkipSimplifiedLayerNormalization", "float16 2 64 128", "float16 2 64 128", "float16 128"),
    op("SimplifiedLayerNormalization", X, W, domain="", outputs=2),
    op("SimplifiedLayerNormalization", "float16 2 64 128", "float16 128", domain=""),
    op("RotaryEmbedding", f(2, 4, 64, 32), np.array([0]), f(128, 16), f(128, 16)),
    op("QuantizeLinear", f(64, 128), S, ZU),
    op("DequantizeLinear", u8(64, 128), S, ZU),
    op("QLinearAdd", u8(64, 128), S, ZU, u8(64, 128), S, ZU, S, ZU),
    op("QLinearMul", u8(64, 128), S, ZU, u8(64, 128), S, ZU, S, ZU),
    op("QLinearLeakyRelu", u8(64, 128), S, ZU, S, ZU),
    op("QLinearSigmoid", u8(64, 128), S, ZU, S, ZU),
    op("QLinearSoftmax", u8(4, 64, 128), S, ZU, S, ZU, opset=13, axis=1),
    op("QLinearConcat", S, ZU, u8(64, 128), S, ZU, u8(64, 256), S, ZU, axis=1),
    op("QLinearGlobalAveragePool", u8(2, 64, 20, 20), S, ZU, S, ZU),
    op("CDist", f(64, 32), f(48, 32), metric="euclidean"),
    op("CDist", f(64, 32), f(48, 32), metric="sqeuclidean"),
    op("CropAndResize", f(1, 3, 20, 20), f(2, 4), np.array([0, 0], np.int32), np.array([8, 8], np.int32)),
    op("ExpandDims", f(64, 128), np.array(1, np.int32)),
    op("GatherND", f(8, 16, 32), "int64 64 2"),
    op("GridSample", f(1, 3, 20, 20), f(1, 40, 40, 2)),
    op("MaxpoolWithMask", f(1, 3, 20, 20), np.ones((1, 1, 20, 20), np.int32), kernel_shape=[2, 2]),
    op("MurmurHash3", "int32 64 128"),
    op("NGramRepeatBlock", "int64 2 16", f(2, 100), ngram_size=3),
    op("Pad", X, np.array([0, 1, 1, 0, 1, 1]), mode="constant"),
    op("Range", np.float32(0), np.float32(500), np.float32(1)),
    op("UnfoldTensor", X, dim=-1, size=8, step=4),
    op("Unique", f(200), outputs=3),
    op("Trilu", f(64, 64)),
    op("TransposeMatMul", f(2, 64, 32), f(2, 64, 48), transA=1),
    op("BifurcationDetector", np.arange(4), np.arange(8), np.arange(8), outputs=2),
    op("GatherBlockQuantized", u8(64, 32), np.zeros(4, np.int64), np.ones((64, 2), np.float32),
       block_size=32, gather_axis=0, quantize_axis=1),
    op("MatMulIntegerToFloat", u8(64, 128), np.ones((128, 64), np.uint8), S, S),
    op("MatMulInteger16", "int16 64 128", "int16 128 64"),
    op("MatMulNBits", f(2, 64, 256), np.zeros((128, 8, 16), np.uint8), np.ones((128, 8), np.float32), K=256, N=128,
       bits=4, block_size=32),
    op("Inverse", f(2, 32, 32)),
    op("DynamicQuantizeLinear", f(64, 128), domain="", outputs=3),
    op("MatMulInteger", u8(64, 128), u8(128, 64), domain=""),
    op("STFT", f(1, 480, 1), np.array(60), f(60), domain=""),
    op("Crop", f(1, 3, 20, 20), domain="", border=[1, 1, 1, 1]),
    op("ScaledTanh", X, domain="", alpha=1.0, beta=1.0),
    op("ParametricSoftplus", X, domain="", alpha=1.0, beta=1.0),
    op("Affine", X, domain="", alpha=1.0, beta=1.0),
    op("ImageScaler", f(1, 3, 20, 20), domain="", bias=[0.1, 0.1, 0.1], scale=2.0),
    op("ThresholdedRelu", X, domain="", alpha=1.0),
    op("GlobalLpPool", f(2, 64, 20, 20), domain=""),
    op("MaxUnpool", f(1, 1, 2, 2), np.array([[[[5, 7], [13, 15]]]]), domain="", kernel_shape=[2, 2], strides=[2, 2]),
    op("MaxRoiPool", f(1, 3, 20, 20), np.array([[0, 0, 0, 8, 8]], np.float32), domain="", pooled_shape=[4, 4]),
    op("RoiAlign", f(1, 3, 20, 20), np.array([[0, 0, 8, 8]], np.float32), np.array([0]), domain="", output_height=4),
    op("Multinomial", f(4, 100), domain="", sample_size=50),
    op("RandomNormal", domain="", shape=[64, 64]),
    op("RandomUniform", domain="", shape=[64, 64]),
    op("RandomNormalLike", X, domain=""),
    op("RandomUniformLike", X, domain=""),
    op("Softsign", X, domain=""),
    op("GatherND", f(8, 16, 32), np.zeros((64, 2), np.int64), domain=""),
    op("MaxPool", f(2, 16, 40, 40), domain="", kernel_shape=[3, 3], outputs=2),
    op("AveragePool", f(2, 16, 40, 40), domain="", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    op("BatchNormalization", f(2, 64, 20, 20), f(64), f(64), f(64), f(64), domain=""),
    op("InstanceNormalization", f(2, 64, 20, 20), f(64), f(64), domain=""),
    op("Upsample", f(1, 16, 40, 40), domain=NCHWC, scales=[1, 1, 2, 2], mode="linear"),
    op("Conv", f(1, 32, 40, 40), f(32, 32, 1, 1), domain=NCHWC),
    op("Conv", f(1, 32, 40, 40), f(32, 1, 3, 3), domain=NCHWC, group=32, pads=[1, 1, 1, 1]),
    op("MaxPool", f(1, 32, 40, 40), domain=NCHWC, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
]  # fmt: skip


def of_sequences() -> Iterator[tuple[str, onnx.ModelProto, dict[str, Any]]]:
    """Operators that read a sequence, with two tensors in it."""
    element = helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None)
    info = helper.make_value_info("i0", helper.make_sequence_type_proto(element))
    position = numpy_helper.from_array(np.array(1), "i1")
    for op_type, weights, attributes in (
        ("SequenceAt", [position], {}),
        ("SequenceErase", [position], {}),
        ("SequenceLength", [], {}),
        ("ConcatFromSequence", [], {"axis": 0}),
        ("ConcatFromSequence", [], {"axis": 0, "new_axis": 1}),
    ):
        node = helper.make_node(op_type, ["i0", *(weight.name for weight in weights)], ["o0"], **attributes)
        graph = helper.make_graph([node], "g", [info], [onnx.ValueInfoProto(name="o0")], weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        yield op_type, model, {"i0": [np.ones((64, 128), np.float32), np.ones((64, 128), np.float32)]}
