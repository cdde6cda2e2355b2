"""ONNX's own node tests as an oracle: a model with its parameters baked in, and the types that its run recorded.

Each case is read twice. "data free": every input but the first is baked as an initializer (a first input is the data of
nearly every operator), and the first too where the operator reads a shape, a count or a condition from it instead of
data (READS_FIRST). "integers baked": integer, boolean and string first inputs too, since shapes, masks, indices and
tokens are integers and strings; data of floating type stays free. An input that no initializer can hold (a sequence, an
optional, nothing) stays an input in both. Declared output types are removed. A case counts as right when the second
reading is, and as wrong when either is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx

from graphmem.ir.types import BoundedType, OptionalType, SequenceType, TensorType, Type, UnknownType
from graphmem.reader.protos import DTYPES

READS_FIRST = {
    "BlackmanWindow", "ConstantOfShape", "HammingWindow", "HannWindow", "If", "Loop", "Range",
    "MelWeightMatrix", "SplitToSequence",
}  # fmt: skip

Verdict = Literal["right", "incomplete", "wrong"]


@dataclass(frozen=True)
class Case:
    name: str
    model: onnx.ModelProto
    inputs: Sequence[Any]
    outputs: Sequence[Any]

    @property
    def is_expanded(self) -> bool:
        return "_expanded" in self.name


def node_cases() -> Iterator[Case]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the recorded computations divide by zero and overflow on purpose
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases()
    for case in cases:
        inputs, outputs = case.data_sets[0]
        yield Case(case.name, case.model, inputs, outputs)


def baked(case: Case, integers: bool = False, keeps_outputs: bool = False) -> onnx.ModelProto:
    """The case's model with its parameters as initializers, and its outputs' types removed unless asked otherwise."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph = model.graph
    kept = []
    for position, (info, value) in enumerate(zip(graph.input, case.inputs, strict=True)):
        operator = case.name.removeprefix("test_").replace("_", "")
        reads_first = any(operator.startswith(name.lower()) for name in READS_FIRST)
        is_free = position == 0 and not reads_first and not (integers and _is_discrete(info))
        if not info.type.HasField("tensor_type") or is_free:
            kept.append(info)
            continue
        tensor = value if isinstance(value, onnx.TensorProto) else onnx.numpy_helper.from_array(np.asarray(value))
        tensor = onnx.TensorProto.FromString(tensor.SerializeToString())
        tensor.name = info.name
        graph.initializer.append(tensor)
    del graph.input[:]
    graph.input.extend(kept)
    for output in () if keeps_outputs else graph.output:
        output.ClearField("type")
    return model


def _is_discrete(info: onnx.ValueInfoProto) -> bool:
    dtype = DTYPES.get(info.type.tensor_type.elem_type, "")
    return "int" in dtype or dtype in ("bool", "string")


def recorded(value: Any, declared: onnx.TypeProto) -> Type | None:
    """The type of a recorded value; None of an absent one."""
    if value is None:
        return None
    if isinstance(value, list):
        elements = tuple(recorded(item, declared.sequence_type.elem_type) for item in value)
        return SequenceType(UnknownType(), elements)
    if isinstance(value, onnx.TensorProto):
        return TensorType(DTYPES[value.data_type], tuple(value.dims))
    array = np.asarray(value)
    if array.dtype.kind in "OUS":
        return TensorType("string", array.shape)
    return TensorType(DTYPES[onnx.helper.np_dtype_to_tensor_dtype(array.dtype)], array.shape)


def verdict(found: Type, truth: Type | None) -> Verdict:
    """How what was inferred stands to what the run recorded."""
    if isinstance(found, OptionalType):
        return _optional_verdict(found, truth)
    if isinstance(truth, SequenceType):
        return _sequence_verdict(found, truth)
    assert isinstance(truth, TensorType)
    if isinstance(found, TensorType):
        return "right" if found == truth else "wrong"
    if isinstance(found, BoundedType):
        low, high = found.low, found.high
        fits = found.dtype == truth.dtype and len(high) == len(truth.shape)
        fits = fits and all(a <= n <= b for a, n, b in zip(low, truth.shape, high, strict=True))
        return "incomplete" if fits else "wrong"
    return _open_verdict(found, truth)


def _optional_verdict(found: OptionalType, truth: Type | None) -> Verdict:
    if truth is None:
        verdicts: dict[bool | None, Verdict] = {None: "incomplete", True: "wrong", False: "right"}
        return verdicts[found.present]
    if found.present is None:
        return "wrong" if verdict(found.element, truth) == "wrong" else "incomplete"
    return verdict(found.element, truth) if found.present else "wrong"


def _sequence_verdict(found: Type, truth: SequenceType) -> Verdict:
    assert truth.elements is not None
    if isinstance(found, UnknownType):
        return "incomplete"
    if not isinstance(found, SequenceType):
        return "wrong"
    if found.elements is None:
        verdicts = [verdict(found.element, element) for element in truth.elements]
        return "wrong" if "wrong" in verdicts else "incomplete"
    if len(found.elements) != len(truth.elements):
        return "wrong"
    verdicts = [verdict(a, b) for a, b in zip(found.elements, truth.elements, strict=True)]
    return next((v for v in ("wrong", "incomplete") if v in verdicts), "right")


def _open_verdict(found: Type, truth: TensorType) -> Verdict:
    """An unknown type is incomplete, unless what it does state contradicts the truth."""
    if not isinstance(found, UnknownType) or found.dtype not in (None, truth.dtype):
        return "wrong"
    if found.dims is None:
        return "incomplete"
    fits = len(found.dims) == len(truth.shape)
    fits = fits and all(a is None or a == b for a, b in zip(found.dims, truth.shape, strict=True))
    return "incomplete" if fits else "wrong"
