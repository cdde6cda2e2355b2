"""What a node must satisfy beyond its shapes: attributes that hold what they say, element types that it takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import onnx

from graphmem.ir.errors import ModelError
from graphmem.ir.types import BoundedType, TensorType, Type, UnknownType
from graphmem.reader.protos import MAX_RANK

_KIND = onnx.AttributeProto
_FIELDS = {
    _KIND.FLOAT: "f",
    _KIND.INT: "i",
    _KIND.STRING: "s",
    _KIND.TENSOR: "t",
    _KIND.GRAPH: "g",
    _KIND.SPARSE_TENSOR: "sparse_tensor",
    _KIND.TYPE_PROTO: "tp",
    _KIND.FLOATS: "floats",
    _KIND.INTS: "ints",
    _KIND.STRINGS: "strings",
    _KIND.TENSORS: "tensors",
    _KIND.GRAPHS: "graphs",
    _KIND.SPARSE_TENSORS: "sparse_tensors",
    _KIND.TYPE_PROTOS: "type_protos",
}
_VALUES = frozenset(_FIELDS.values())
_SPELLED = {"float32": "float", "float64": "double"}


def check_text(names: Iterable[str]) -> None:
    """ModelError when a name is not text: protobuf hands out bytes for a string that is not UTF-8."""
    try:
        "".join(names)
    except TypeError:
        raise ModelError("the file holds a name that is not UTF-8 text; it is damaged") from None


def check_graph_text(graph: onnx.GraphProto) -> None:
    """ModelError when a name of the graph, apart from those of its nodes, is not text."""
    names = [graph.name]
    for tensor in (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)):
        names += [tensor.name, *(text for entry in tensor.external_data for text in (entry.key, entry.value))]
    for info in (*graph.input, *graph.output, *graph.value_info):
        names += [info.name, *(dim.dim_param for dim in info.type.tensor_type.shape.dim)]
    check_text(names)


def check_attributes(node: onnx.NodeProto) -> None:
    """ModelError for an attribute that holds another kind of value than it declares, or is given twice."""
    seen: set[str] = set()
    for attribute in node.attribute:
        held = {field.name for field, _ in attribute.ListFields()} & _VALUES
        if attribute.type and held - {_FIELDS.get(attribute.type)}:
            raise ModelError(f"attribute '{attribute.name}' holds another kind of value than it declares")
        if attribute.name in seen:
            raise ModelError(f"attribute '{attribute.name}' is given twice")
        seen.add(attribute.name)


_REQUIRED = onnx.defs.OpSchema.FormalParameterOption.Single


@lru_cache(maxsize=4096)
def _kinds(op_type: str, version: int, domain: str) -> dict[str, int]:
    """Attribute -> the AttributeProto.AttributeType of its value."""
    attributes = onnx.defs.get_schema(op_type, version, domain).attributes
    return {
        name: _KIND.AttributeType.Value(str(attribute.type).rpartition(".")[2])
        for name, attribute in attributes.items()
    }


def check_arity(schema: onnx.defs.OpSchema, node: onnx.NodeProto) -> None:
    """ModelError for more or fewer inputs or outputs than the operator has, or an attribute that it does not know."""
    for what, count, least, most in (
        ("inputs", len(node.input), schema.min_input, schema.max_input),
        ("outputs", len(node.output), schema.min_output, schema.max_output),
    ):
        if not least <= count <= most:
            raise ModelError(f"it has {count} {what}, not {least} to {most}")
    for name, formal in zip(node.input, schema.inputs, strict=False):
        if not name and formal.option == _REQUIRED:
            raise ModelError(f"its input '{formal.name}' is left out, which the operator needs")
    kinds = _kinds(schema.name, schema.since_version, schema.domain)
    for attribute in node.attribute:
        kind = kinds.get(attribute.name)
        if kind is None and not attribute.name.startswith("__"):  # onnxruntime's own marks
            raise ModelError(f"the operator has no attribute '{attribute.name}'")
        if kind is not None and attribute.type and attribute.type != kind:
            raise ModelError(f"attribute '{attribute.name}' holds another kind of value than the operator takes")


def check_axes(node: onnx.NodeProto, types: Sequence[Type | None]) -> None:
    """ModelError for an axis that the first input has not (nor, of Unsqueeze and OneHot, the output).

    ONNX's own rules cut axes to 32 bits and read past the ends of some shapes (LayerNormalization, GatherND).
    """
    first = types[0] if types else None
    shaped = [type_ for type_ in types if isinstance(type_, TensorType | BoundedType)]
    ranks = [len(type_.shape if isinstance(type_, TensorType) else type_.high) for type_ in shaped]
    for attribute in node.attribute:
        if attribute.name == "batch_dims" and not 0 <= attribute.i <= min(ranks, default=0):
            raise ModelError(f"batch_dims is {attribute.i}, which not every input has")
        if attribute.name not in ("axis", "axes"):
            continue
        rank = max(1, ranks[0]) if isinstance(first, TensorType | BoundedType) else MAX_RANK
        if node.op_type in ("OneHot", "Unsqueeze"):
            rank += max(1, len(attribute.ints))
        for axis in (attribute.i, *attribute.ints):
            if not -rank <= axis <= rank:
                raise ModelError(f"axis {axis} is out of range for {first}")


# (operator, attribute) -> the texts that its specification allows in any opset; others come to nothing in a runtime.
_WORDS: dict[tuple[str, str], frozenset[str]] = {
    **{
        (op_type, "auto_pad"): frozenset(("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"))
        for op_type in (
            "AveragePool", "Conv", "ConvInteger", "ConvTranspose", "DeformConv", "LpPool", "MaxPool", "QLinearConv",
        )
    },
    **{(op_type, "mode"): frozenset(("nearest", "linear", "bilinear", "cubic")) for op_type in ("Resize", "Upsample")},
    ("Resize", "coordinate_transformation_mode"): frozenset(
        ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
         "tf_half_pixel_for_nn", "tf_crop_and_resize")
    ),
    ("Resize", "keep_aspect_ratio_policy"): frozenset(("stretch", "not_larger", "not_smaller")),
    ("Resize", "nearest_mode"): frozenset(("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")),
    ("Pad", "mode"): frozenset(("constant", "reflect", "edge", "wrap")),
    ("DepthToSpace", "mode"): frozenset(("DCR", "CRD")),
    ("BitShift", "direction"): frozenset(("LEFT", "RIGHT")),
    ("Gelu", "approximate"): frozenset(("none", "tanh")),
    **{
        (op_type, "direction"): frozenset(("forward", "reverse", "bidirectional")) for op_type in ("LSTM", "GRU", "RNN")
    },
    **{
        (op_type, "reduction"): frozenset(("none", "sum", "mean"))
        for op_type in ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
    },
    **{
        (op_type, "reduction"): frozenset(("none", "add", "mul", "max", "min"))
        for op_type in ("ScatterElements", "ScatterND")
    },
    ("RoiAlign", "mode"): frozenset(("avg", "max")),
    ("RoiAlign", "coordinate_transformation_mode"): frozenset(("half_pixel", "output_half_pixel")),
    ("GridSample", "mode"): frozenset(("bilinear", "nearest", "bicubic", "linear", "cubic")),
    ("GridSample", "padding_mode"): frozenset(("zeros", "border", "reflection")),
}  # fmt: skip


_EQUATION = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ,.-> ")


def check_words(node: onnx.NodeProto) -> None:
    """ModelError for a text that the operator's specification does not allow.

    ONNX's own rule of Einsum never ends on an equation with other characters.
    """
    for attribute in node.attribute:
        if node.op_type == "Einsum" and not _EQUATION.issuperset(attribute.s):
            found = attribute.s.decode("utf-8", "replace")[:80]
            raise ModelError(f"equation '{found}' is none: it has letters, ',', '->' and '...' only")
        words = _WORDS.get((node.op_type, attribute.name))
        if words is not None and attribute.s.decode("utf-8", "replace") not in words:
            found = attribute.s.decode("utf-8", "replace")
            raise ModelError(f"{attribute.name} cannot be '{found}', only {', '.join(sorted(words))}")


def check_parts(node: onnx.NodeProto) -> None:
    """ModelError for a Split that states another number of parts than it has outputs; ONNX's own rule reads past them.

    A fuzzer of every operator's attributes has found no other node that ends the process (docs/fuzzing.md).
    """
    for attribute in node.attribute:
        stated = {"num_outputs": attribute.i, "split": len(attribute.ints)}.get(attribute.name)
        if node.op_type == "Split" and stated is not None and stated != len(node.output):
            raise ModelError(f"{attribute.name} says {stated} parts, but it has {len(node.output)} outputs")


def check_element_types(schema: onnx.defs.OpSchema, types: Sequence[Type | None]) -> None:
    """ModelError for an element type that the operator does not take, or inputs that should share one and do not."""
    if not schema.inputs:
        return
    allowed = {constraint.type_param_str: constraint.allowed_type_strs for constraint in schema.type_constraints}
    bound: dict[str, str] = {}
    for position, type_ in enumerate(types):
        if not isinstance(type_, TensorType | BoundedType | UnknownType) or type_.dtype is None:
            continue
        formal = schema.inputs[min(position, len(schema.inputs) - 1)]
        spelled = f"tensor({_SPELLED.get(type_.dtype, type_.dtype)})"
        if spelled not in allowed.get(formal.type_str, (formal.type_str,)):
            raise ModelError(f"input '{formal.name}' cannot be {type_.dtype}")
        if formal.is_homogeneous and bound.setdefault(formal.type_str, spelled) != spelled:
            raise ModelError(f"inputs of one element type are {bound[formal.type_str]} and {spelled}")


def check_inputs(proto: onnx.GraphProto) -> None:
    """ModelError for an input given twice or without a name."""
    seen: set[str] = set()
    for info in proto.input:
        if not info.name or info.name in seen:
            raise ModelError(f"input '{info.name}' of graph '{proto.name}' is given twice or has no name")
        seen.add(info.name)
