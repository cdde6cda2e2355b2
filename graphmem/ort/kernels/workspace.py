"""Bytes that ONNX Runtime's CPU kernels allocate for themselves, alive only while their node runs (one thread).

Every rule was probed by running the operator alone under the allocation tracer (benchmarks/ort_probe_workspace.py);
what depends on the machine (vector width, cache) is that of an x86-64 server with AVX-512. A kernel without a rule has
no workspace when NO_WORKSPACE lists its operator, and else a workspace that is not known.

NO_WORKSPACE are operators whose kernels were seen to allocate nothing beside their outputs: measured on 2026-11-21 with
onnxruntime 1.31.1 on one thread: every run of the operator alone under the allocation tracer, as `python -m
benchmarks.ort_probe_none ROWS.jsonl` makes them (onnx's node tests and single operators of our own; larger sizes,
float16, float64, parameters as weights, older kernels), allocated its outputs and no more. What a kernel takes from
`malloc` the tracer cannot see, and no figure counts. The operators of the 86 recorded networks that have no rule, whose
predicted allocations are those of the run to the byte, are all among them. SVMRegressor, seen without support vectors
only, is left out, and so is what hands its input on (SequenceInsert). MatMulInteger and MatMulIntegerToFloat need the
thread's packing buffer, which is counted apart (quantized.py).
"""

from __future__ import annotations

from graphmem.ir.graph import Node
from graphmem.ort.kernels import attention, conv, elementwise, quantized
from graphmem.ort.kernels.kernel import Kernel, Rules

_ONNX = (
    "Abs", "Ceil", "Erf", "Exp", "Floor", "IsInf", "IsNaN", "Log", "Mod", "Neg", "Pow", "Reciprocal", "Round", "Sign",
    "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cos", "Cosh", "Sin", "Sinh", "Sqrt", "Tan", "Tanh",
    "Add", "Affine", "Div", "Mul", "ScaledTanh", "Sub",
    "And", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Not", "Or", "Xor",
    "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual",
    "Celu", "Clip", "Elu", "Gelu", "HardSigmoid", "LeakyRelu", "PRelu", "ParametricSoftplus", "Relu", "Selu", "Shrink",
    "Sigmoid", "Softplus", "Softsign", "ThresholdedRelu",
    "Gemm", "MatMul", "MatMulInteger",
    "ArgMax", "ArgMin", "CumProd", "CumSum", "TopK",
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
    "Dropout", "InstanceNormalization", "LpNormalization", "RotaryEmbedding",
    "AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool", "MaxRoiPool", "MaxUnpool",
    "AffineGrid", "Col2Im", "Crop", "DepthToSpace", "GridSample", "ImageScaler", "RoiAlign", "SpaceToDepth",
    "BitCast", "Cast", "DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear",
    "Concat", "Expand", "Flatten", "Identity", "Pad", "Reshape", "ReverseSequence", "Shape", "Size", "Slice", "Split",
    "Squeeze", "Tile", "Transpose", "Trilu", "Unsqueeze",
    "Compress", "Gather", "GatherElements", "GatherND", "NonMaxSuppression", "NonZero", "OneHot", "Unique",
    "Scatter", "ScatterElements", "ScatterND", "TensorScatter",
    "ConstantOfShape", "EyeLike", "Range",
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
    "BlackmanWindow", "HammingWindow", "HannWindow", "MelWeightMatrix",
    "ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceLength", "SplitToSequence",
    "RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer",
    "Det",
)  # fmt: skip
_MICROSOFT = (
    "Gelu", "QuickGelu",
    "FusedGemm", "FusedMatMul", "MatMulInteger16", "MatMulIntegerToFloat", "TransposeMatMul",
    "DequantizeLinear", "QuantizeLinear",
    "QLinearAdd", "QLinearConcat", "QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearMul", "QLinearSigmoid",
    "CDist", "Inverse", "RotaryEmbedding",
    "CropAndResize", "GridSample", "MaxpoolWithMask",
    "ExpandDims", "GatherBlockQuantized", "GatherND", "Pad", "Range", "Trilu", "UnfoldTensor", "Unique",
    "MurmurHash3", "NGramRepeatBlock",
)  # fmt: skip
_NCHWC = (
    "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool",
    "Conv", "ReorderInput", "ReorderOutput", "Upsample",
)  # fmt: skip
_ML = (
    "ArrayFeatureExtractor", "Binarizer", "FeatureVectorizer", "Imputer", "LabelEncoder", "Normalizer", "OneHotEncoder",
    "LinearRegressor", "Scaler", "TreeEnsemble", "TreeEnsembleRegressor",
)  # fmt: skip
NO_WORKSPACE: frozenset[tuple[str, str]] = frozenset(
    (domain, op_type)
    for domain, op_types in (
        ("", _ONNX), ("com.microsoft", _MICROSOFT), ("com.microsoft.nchwc", _NCHWC), ("ai.onnx.ml", _ML),
    )
    for op_type in op_types
)  # fmt: skip


RULES: Rules = {
    **attention.RULES,
    **conv.RULES,
    **attention.EINSUM,
    **elementwise.RULES,
    **quantized.RULES,
    **conv.RECURRENT,
}


def workspace(domain: str, kernel: Kernel) -> tuple[int, ...]:
    """Sizes of the workspaces alive together; none for a kernel without, or with unknown types (an Issue says so)."""
    rule = RULES.get((domain, kernel.op_type))
    if rule is None:
        return ()
    try:
        sizes = rule(kernel)
    except KeyError:
        return ()
    return (sizes,) if isinstance(sizes, int) else sizes


def has_known_workspace(node: Node) -> bool:
    """False for a node whose kernel may allocate more than `workspace` tells; bodies are looked at on their own."""
    key = (node.domain, node.op_type)
    if node.bodies or key == ("", "Constant"):
        return True
    if key == ("", "Einsum"):
        return len(node.inputs) <= 2  # more operands were not all probed
    if key == ("com.microsoft", "GroupQueryAttention"):
        return not node.attributes.get("do_rotary", 0)  # rotated copies have no rule
    return key in RULES or key in NO_WORKSPACE


def packing(domain: str, kernel: Kernel) -> int:
    """Bytes of the buffer in which the thread packs 8-bit matrices; it is kept for the next such node and run."""
    return quantized.packing(domain, kernel)
