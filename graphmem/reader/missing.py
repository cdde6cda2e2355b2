"""A tensor whose type is not exact -> the Issue that says what is missing, and why."""

from __future__ import annotations

import onnx
import onnx.numpy_helper
import onnx.shape_inference

from graphmem.ir.graph import Graph, Issue
from graphmem.ir.types import BoundedType, MapType, OptionalType, SequenceType, TensorType, Type, nbytes_of
from graphmem.reader.order import described


def is_exact(type_: Type) -> bool:
    """True when the bytes of every tensor of that type are known."""
    if isinstance(type_, SequenceType):
        return isinstance(type_.element, MapType) or (type_.elements is not None and all(map(is_exact, type_.elements)))
    if isinstance(type_, MapType):
        return True  # no tensor: what it takes lies outside of every figure
    if isinstance(type_, OptionalType):
        return type_.present is not None and (not type_.present or is_exact(type_.element))
    return isinstance(type_, TensorType) and type_.has_size


def holds_maps(type_: Type) -> bool:
    """True for a dictionary or a list of them."""
    return isinstance(type_, MapType) or (isinstance(type_, SequenceType) and holds_maps(type_.element))


def open_input(name: str, type_: Type) -> Issue:
    """What is missing of a graph input."""
    if holds_maps(type_):
        return Issue("outside", f"input '{name}'", f"is {type_}: dictionaries, no tensor, so outside every figure")
    if isinstance(type_, TensorType | BoundedType):
        return Issue("unknown-payload", f"input '{name}'", "it holds strings")
    return Issue("unknown-shape", f"input '{name}'", f"the file gives no shape for it ({type_})")


def unsettled(
    node: onnx.NodeProto, name: str, type_: Type, *, is_given: bool, is_foreign: bool, follows: bool
) -> Issue:
    """What is missing, or was taken on trust, of the output `name`.

    Args:
        node: the node that puts it out.
        name: the output.
        type_: what it was settled to be.
        is_given: the caller has supplied its type.
        is_foreign: nothing is known of the operator.
        follows: an input of the node is not exact either.
    """
    where = described(node)
    if holds_maps(type_):
        return Issue("outside", where, f"'{name}' is {type_}: dictionaries, no tensor, so outside every figure")
    is_invalid = is_foreign and node.domain in ("", "ai.onnx")  # ONNX has no such operator in this opset
    if is_exact(type_) and (is_given or not is_invalid):
        return Issue("assumption", where, f"'{name}' is {type_}, as {'given' if is_given else 'declared in the file'}")
    if isinstance(type_, BoundedType):
        return Issue("data-dependent", where, f"'{name}' is at most {type_}", not follows)
    if isinstance(type_, TensorType) and not type_.has_size:
        return Issue("unknown-payload", where, f"'{name}' holds strings", not follows)
    if not is_foreign:
        return Issue("unknown-shape", where, f"'{name}' has no known shape", not follows)
    domain = f" of domain '{node.domain}'" if node.domain else ""
    what = f"'{name}' has no known shape: operator {node.op_type}{domain} is not known"
    return Issue("unknown-operator", where, what, not follows)


def packed_notes(graph: Graph) -> list[Issue]:
    """That quantized weights are counted as they are kept, where the graph dequantizes some."""
    rows = [inner.tensors[name].type for inner in graph.with_bodies for name in sorted(inner.unpacked)]
    if not rows:
        return []
    many = f"{len(rows)} weights that are" if len(rows) > 1 else "one weight that is"
    what = f"{many} dequantized count as kept, packed; one that unpacks adds {sum(map(nbytes_of, rows))} bytes"
    return [Issue("packed", "weights", what)]


def reason_of(error: Exception) -> str:
    """The C++ exception in one line, without its own prefix."""
    text = " ".join(str(error).split())
    return text.removeprefix("[ShapeInferenceError] ").removeprefix("[TypeInferenceError] ")[:300]


def is_within(low: int, size: int, high: int) -> bool:
    """Whether a size is one of a range, its ends included."""
    return low <= size <= high
