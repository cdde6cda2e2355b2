"""What ONNX Runtime's CPU kernels declare of their buffers: Alias and MayInplace of each kernel definition.

ALIASES always share the first input's buffer with the first output. IN_PLACE maps (domain, operator) to (input, output)
pairs: the output takes the input's buffer over when nobody needs it any more and both have the same shape and width.
Both lists were measured operator by operator (benchmarks/ort_probe_sharing.py), but for Scatter and TensorScatter,
which are those of the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Pairs: TypeAlias = tuple[tuple[int, int], ...]

ALIASES = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})

_FIRST: Pairs = ((0, 0),)
_ONNX = (
    "Cast", "Celu", "Clip", "Elu", "HardSigmoid", "LeakyRelu", "LogSoftmax", "Relu", "Scatter", "ScatterElements",
    "Selu", "Shrink", "Sigmoid", "Softmax", "Softplus", "Softsign", "Tanh", "TensorScatter", "ThresholdedRelu",
    "Trilu",
)  # fmt: skip
IN_PLACE: Mapping[tuple[str, str], Pairs] = {
    **{("", op_type): _FIRST for op_type in _ONNX},
    ("com.microsoft", "FusedConv"): ((3, 0),),
    ("com.microsoft.nchwc", "Conv"): ((3, 0),),
}


def aliases(domain: str, op_type: str) -> bool:
    """True when the first output always lives in the first input's buffer."""
    return not domain and op_type in ALIASES


def in_place(domain: str, op_type: str) -> Pairs:
    """(input, output) pairs that may share a buffer."""
    return IN_PLACE.get((domain, op_type), ())
