"""Shape rules of our own, one family of operators per file, for what ONNX decides not at all or less than it could."""

from __future__ import annotations

from collections.abc import Mapping

from graphmem.ir.types import BoundedType, TensorType, Type, UnknownType
from graphmem.reader.bounded import end, spanning
from graphmem.reader.protos import checked_type
from graphmem.reader.rules import (
    attention,
    contributed,
    fused,
    ml,
    nchwc,
    quantized,
    resize,
    sequences,
    slices,
    standard,
    windows,
)
from graphmem.reader.rules.call import Call, OpenError, Rule, Table


def _in_domain(domain: str, *tables: Table) -> dict[tuple[str, str], Rule]:
    return {(domain, name): rule for table in tables for name, rule in table.items()}


# (domain, operator) -> the rule that decides alone.
RULES: Mapping[tuple[str, str], Rule] = {
    **_in_domain("", sequences.RULES, standard.RULES),
    **_in_domain("", fused.IN_DEFAULT_DOMAIN),
    **_in_domain("com.microsoft", attention.RULES, contributed.RULES, fused.RULES, quantized.RULES),
    **_in_domain("com.microsoft.nchwc", nchwc.RULES),
    **_in_domain("ai.onnx.preview", standard.PREVIEW),
    **_in_domain("ai.onnx.preview.training", standard.TRAINING),
}
# (domain, operator) -> the rule of an operator that ONNX has not in the model's opset, but onnxruntime takes.
BEYOND: Mapping[tuple[str, str], Rule] = _in_domain("", fused.BEYOND)
# (domain, operator) -> the rule for what ONNX's own inference leaves open.
GAPS: Mapping[tuple[str, str], Rule] = {
    **_in_domain("", standard.GAPS),
    **_in_domain("ai.onnx.ml", ml.GAPS),
}
# (domain, operator) -> the rule that runtimes follow where ONNX's inference says another thing, or only its text does.
CORRECTIONS: Mapping[tuple[str, str], Rule] = {
    **_in_domain("", windows.RULES, resize.RULES, slices.RULES, standard.CORRECTIONS),
}
# (operator) -> what onnxruntime's kernels alone do, against the text.
OF_RUNTIME: Mapping[str, Rule] = windows.OF_RUNTIME
# Rules that take bounded types and values as they are.
_TAKES_BOUNDS = frozenset({*sequences.RULES, *slices.RULES})


def applied(rule: Rule, call: Call) -> tuple[Type, ...]:
    """The outputs of `call` by `rule`: unknown where a fact is missing, from end to end where a shape is bounded."""
    if call.node.op_type in _TAKES_BOUNDS or not any(isinstance(type_, BoundedType) for type_ in call.types):
        return _at(rule, call)
    low, high = (
        _at(rule, Call(call.node, [end(t, is_high) for t in call.types], call.values, call.attributes, call.opset))
        for is_high in (False, True)
    )
    return tuple(spanning(a, b) for a, b in zip(low, high, strict=True))


def _at(rule: Rule, call: Call) -> tuple[Type, ...]:
    count = len(call.node.output)
    try:
        found = list(rule(call))
    except (OpenError, LookupError, ValueError, TypeError, ArithmeticError):  # not what the specification allows
        found = []
    found += [UnknownType() for _ in range(count - len(found))]
    return tuple(checked_type(type_, "output") for type_ in found[:count])


def corrected(
    rule: Rule, call: Call, found: tuple[Type, ...] | None, notes: list[str], *, is_onnxruntime: bool
) -> tuple[Type, ...] | None:
    """What the rule makes of `found`, which is None where ONNX's inference refuses the node; a difference is noted."""
    mine = applied(rule, call)
    if any(isinstance(type_, UnknownType) for type_ in mine):
        return found
    if found is None:
        notes.append(f"{mine[0]} as runtimes compute it; ONNX's shape inference refuses the node")
    elif any(a != b for a, b in zip(mine, found, strict=True) if isinstance(b, TensorType)):
        notes.append(f"{mine[0]} as runtimes compute it; ONNX's shape inference says {found[0]}")
    runtime = OF_RUNTIME.get(call.node.op_type)
    if runtime is not None and windows.has_dilated_same(call):
        theirs = applied(runtime, call)
        if theirs != mine:
            notes.append(
                f"{theirs[0]} in onnxruntime, which pads without the dilations; {mine[0]} by the specification"
            )
            return theirs if is_onnxruntime else mine
    return mine


def takes_bounds(op_type: str) -> bool:
    """True when the operator's rule takes bounded types and values as they are."""
    return op_type in _TAKES_BOUNDS


__all__ = ["BEYOND", "CORRECTIONS", "GAPS", "OF_RUNTIME", "RULES", "applied", "takes_bounds"]
