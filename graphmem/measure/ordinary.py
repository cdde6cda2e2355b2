"""A model -> the bytes of its tensors after an ordinary run in onnxruntime, on inputs made up from a seed."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graphmem.ir.errors import InputError, ModelError
from graphmem.ir.graph import Graph
from graphmem.ir.types import Shape, TensorType, nbytes_of
from graphmem.measure.one_node import element_type

if TYPE_CHECKING:
    import onnx

WHOLE = {"bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
INTEGERS_BELOW = 2  # made-up integers are 0 or 1: valid as indices, masks, counts and choices


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A dense tensor in memory that someone keeps: `address` of its first byte, and what lies there."""

    address: int
    type: TensorType
    keeper: object

    @property
    def content(self) -> bytes:
        """A copy of the bytes."""
        return ctypes.string_at(self.address, self.type.nbytes)


def session(model: bytes, what: str) -> Any:
    """A session without optimizations on one thread; ModelError says in one line what onnxruntime says."""
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise InputError("onnxruntime is not installed; install it with: pip install onnxruntime") from error
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # pybind raises one type per kind of failure, with no common root
        raise ModelError(f"onnxruntime does not take {what}: {' '.join(str(error).split())[:300]}") from error


def run(made: Any, binding: Any, what: str) -> None:
    """Run what is bound; ModelError in onnxruntime's words if it fails."""
    try:
        made.run_with_iobinding(binding)
    except Exception as error:  # as above
        raise ModelError(f"onnxruntime fails in {what}: {' '.join(str(error).split())[:300]}") from error


def bind_input(binding: Any, name: str, value: Any) -> None:
    """Bind a Value, or an OrtValue of onnxruntime's own."""
    if isinstance(value, Value):
        shape, kind = list(value.type.shape), element_type(value.type.dtype)
        binding.bind_input(name, "cpu", 0, kind, shape, value.address)
    else:
        binding.bind_ortvalue_input(name, value)


def value_of(made: Any, dtype: str) -> Value:
    """The tensor in an OrtValue."""
    shape: Shape = tuple(made.shape())
    return Value(made.data_ptr(), TensorType(dtype, shape), made)


def made_up_inputs(graph: Graph, seed: int) -> dict[str, Value]:
    """A value for every input of the graph; InputError where one is no tensor."""
    dice = np.random.default_rng(seed)
    found = {}
    for name in graph.inputs:
        type_ = graph.tensors[name].type
        if not isinstance(type_, TensorType):
            raise InputError(f"input '{name}' is a {type_}, for which no value can be made up")
        content = np.frombuffer(_content(type_, dice) or b"\0", dtype=np.uint8)
        found[name] = Value(content.ctypes.data, type_, content)
    return found


def _content(type_: TensorType, dice: np.random.Generator) -> bytes:
    count = type_.elements
    if type_.dtype in ("float16", "float32", "float64"):
        return dice.standard_normal(count).astype(type_.dtype).tobytes()
    if type_.dtype == "bfloat16":
        return (dice.standard_normal(count, dtype=np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()
    if type_.dtype in WHOLE:
        whole: NDArray[np.int64] = dice.integers(0, INTEGERS_BELOW, count)
        return whole.astype(type_.dtype).tobytes()
    return bytes(nbytes_of(type_.dtype, count))


def ordinary(
    model: onnx.ModelProto, graph: Graph, feeds: Mapping[str, Value], names: Sequence[str]
) -> dict[str, Value]:
    """The named tensors of the graph as an ordinary run leaves them, whether they are outputs or not."""
    whole = type(model)()
    whole.CopyFrom(model)
    there = {info.name for info in whole.graph.output}
    for name in names:
        if name not in there:
            whole.graph.output.add(name=name)
    made = session(whole.SerializeToString(), "the model")
    binding = made.io_binding()
    for name, value in feeds.items():
        bind_input(binding, name, value)
    for info in made.get_outputs():
        binding.bind_output(info.name, "cpu")
    run(made, binding, "an ordinary run")
    results = dict(zip((info.name for info in made.get_outputs()), binding.get_outputs(), strict=True))
    return {name: value_of(results[name], str(graph.tensors[name].type.dtype)) for name in names}  # type: ignore[union-attr]
