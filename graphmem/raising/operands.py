"""Names of the file -> arguments of calls: numbers, values made by calls, weights and constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphmem.ir.graph import Node
from graphmem.ir.program import Ref
from graphmem.ir.types import TensorType
from graphmem.raising.draft import Draft, is_named


def source_of(draft: Draft, name: str) -> str:
    """The name under which calls know a value of the file."""
    return draft.renamed.get(name, name)


def number(draft: Draft, name: str) -> float | int | None:
    """The value of a constant scalar, or None."""
    value = draft.graph.values.get(name)
    if value is None or value.size != 1 or name in draft.made:
        return None
    item = np.asarray(value).reshape(-1)[0].item()
    return item if isinstance(item, int | float) else None


def integers(draft: Draft, name: str) -> list[int] | None:
    """The value of a known integer vector, or None."""
    value = draft.graph.values.get(name)
    return [int(v) for v in np.asarray(value).reshape(-1)] if value is not None else None


def operand(draft: Draft, name: str) -> Any:
    """A Ref or a number. A value fixed before the run that no weight holds becomes a constant."""
    found = source_of(draft, name)
    if found in draft.made or found in draft.graph.inputs or found in draft.extra:
        return Ref(found)
    if name in draft.held and (_is_named_weight(draft, name) or number(draft, name) is None):
        return Ref(name)
    derived = _weight_view(draft, name)
    scalar = number(draft, name)
    return derived if derived is not None else scalar if scalar is not None else _settled(draft, name)


def operands(draft: Draft, node: Node) -> list[Any]:
    """All inputs of a node that are there."""
    return [operand(draft, name) for name in node.inputs if name]


def tensor_operand(draft: Draft, name: str) -> Any:
    """As `operand`, where a call reads a tensor of one element too: positions and indices are no numbers."""
    found = operand(draft, name)
    if isinstance(found, Ref):
        return found
    return Ref(name) if name in draft.held else _settled(draft, name)


def weight_operand(draft: Draft, name: str) -> Any:
    """As `operand`, where a layer reads its weight: an initializer of one element is no number there."""
    return Ref(name) if name in draft.held and source_of(draft, name) == name else operand(draft, name)


def _settled(draft: Draft, name: str) -> Ref | None:
    """A weight behind an Identity or a Transpose, else something that eager code computes in every step."""
    node = draft.maker.get(name)
    type_ = draft.type_of(name)
    if node is not None and is_called_again(draft, node, name):
        return Ref(node.inputs[0])
    if node is not None and type_ is not None and _is_equal_weight(draft, node, name):
        draft.note("equal weights are separate parameters", node.inputs[0], f"Identity to '{name}'")
        return draft.add(name, "parameter", type_)
    turned = transposed_weight(draft, name)
    if turned is not None:
        return turned
    return Ref(name) if type_ is not None else None


def is_called_again(draft: Draft, node: Node, name: str) -> bool:
    """An Identity of a numbered weight: the exporter has folded a norm into one layer for each of its calls.

    Matrices of different layers are never equal, but their biases may be, which go with the matrix beside them.
    """
    if node.standard_type != "Identity" or node.inputs[0] not in draft.held or is_named(name):
        return False
    if len(_shape(draft, name)) > 1:
        return True
    matrices = [draft.maker.get(user.inputs[1]) for user in draft.users.get(name, ()) if name != user.inputs[1]]
    return any(m is not None and is_called_again(draft, m, m.outputs[0]) for m in matrices)


def shared_weight(draft: Draft, name: str) -> str:
    """The weight itself where a layer reads a numbered copy of it in a further call."""
    node = draft.maker.get(name)
    return node.inputs[0] if node is not None and is_called_again(draft, node, name) else name


def _is_equal_weight(draft: Draft, node: Node, name: str) -> bool:
    """An Identity of a weight under the name of another, or, without names, under one that a layer reads as weight."""
    if node.standard_type != "Identity" or node.inputs[0] not in draft.held:
        return False
    layers = ("MatMul", "Gemm", "Conv", "ConvTranspose", "PRelu")
    return is_named(name) or any(user.standard_type in layers for user in draft.users.get(name, ()))


def _weight_view(draft: Draft, name: str) -> Ref | None:
    """A named weight behind reshaping nodes that run before the step, such as the slopes of a PRelu."""
    node, type_ = draft.maker.get(name), draft.type_of(name)
    if (
        node is None
        or name in draft.made
        or node.standard_type not in ("Unsqueeze", "Squeeze", "Reshape")
        or type_ is None
    ):
        return None
    if not _is_named_weight(draft, node.inputs[0]) or "float" not in type_.dtype:
        return None
    draft.emit("aten.view", (Ref(node.inputs[0]), list(type_.shape)), (name,), node.origin)
    return Ref(name)


def _is_named_weight(draft: Draft, name: str) -> bool:
    """True for initializers that carry a parameter's name, however small."""
    return name in draft.held and "." in name and not name.startswith(("onnx::", "/"))


def transposed_weight(draft: Draft, name: str) -> Ref | None:
    """A weight behind a Transpose that runs before the step, as the view that it is in eager code."""
    node = draft.maker.get(name)
    if node is None or node.standard_type != "Transpose" or node.inputs[0] not in draft.held:
        return None
    order = node.attributes.get("perm") or tuple(reversed(range(len(_shape(draft, node.inputs[0])))))
    draft.emit("aten.permute", (Ref(node.inputs[0]), list(order)), (name,), node.origin)
    return Ref(name)


def linear_weight(draft: Draft, name: str) -> Ref | None:
    """The weight [out, in] of a linear layer whose product reads it as [in, out]; None when it is no weight."""
    type_ = draft.type_of(name)
    if type_ is None or len(type_.shape) != 2 or "float" not in type_.dtype:
        return None
    node = draft.maker.get(name)
    if (
        node is not None
        and node.standard_type == "Transpose"
        and (node.inputs[0] in draft.held or node.inputs[0] in draft.derived)
    ):
        return Ref(node.inputs[0])
    if node is not None and _is_equal_weight(draft, node, name):
        draft.note("equal weights are separate parameters", node.inputs[0], f"Identity to '{name}'")
        return draft.add(f"{name} (transposed)", "parameter", TensorType(type_.dtype, type_.shape[::-1]))
    if name not in draft.held:
        return None
    shared = _named_for(draft, name, type_.shape[::-1])
    if shared is not None:
        return shared
    return draft.add(f"{name} (transposed)", "parameter", TensorType(type_.dtype, type_.shape[::-1]))


def _named_for(draft: Draft, name: str, shape: tuple[int, ...]) -> Ref | None:
    """The weight that the layer's own name belongs to, kept in the file because another layer reads it as well."""
    table = draft.graph.tied.get(name)
    if table is not None:
        draft.note("one weight for two layers", table, f"'{name}' is its transpose")
        return Ref(table)
    if is_named(name):
        return None
    for user in draft.users.get(name, ()):
        own = f"{user.origin.scope}.weight"
        if own in draft.held and _shape(draft, own) == shape:
            draft.note("one weight for two layers", own, f"'{name}' turned is read by the layer of that name")
            return Ref(own)
    return None


def is_weight(draft: Draft, name: str) -> bool:
    """True when the value is fixed before the run, and not computed from parameters in it."""
    tensor = draft.graph.tensors.get(name)
    return tensor is not None and tensor.role == "weight" and name not in draft.derived


def _shape(draft: Draft, name: str) -> tuple[int, ...]:
    type_ = draft.type_of(name)
    return type_.shape if type_ is not None else ()
