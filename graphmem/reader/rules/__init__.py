"""Shape rules of our own, one family of operators per file, for what ONNX decides not at all or less than it could."""

from __future__ import annotations

from collections.abc import Mapping

from graphmem.ir.types import BoundedType, Type, UnknownType
from graphmem.reader.bounded import end, spanning
from graphmem.reader.protos import checked_type
from graphmem.reader.rules import attention, fused, ml, nchwc, quantized, sequences, standard
from graphmem.reader.rules.call import Call, OpenError, Rule, Table


def _in_domain(domain: str, *tables: Table) -> dict[tuple[str, str], Rule]:
    return {(domain, name): rule for table in tables for name, rule in table.items()}


# (domain, operator) -> the rule that decides alone.
RULES: Mapping[tuple[str, str], Rule] = {
    **_in_domain("", sequences.RULES, standard.RULES),
    **_in_domain("", fused.IN_DEFAULT_DOMAIN),
    **_in_domain("com.microsoft", attention.RULES, fused.RULES, quantized.RULES),
    **_in_domain("com.microsoft.nchwc", nchwc.RULES),
    **_in_domain("ai.onnx.preview", standard.PREVIEW),
    **_in_domain("ai.onnx.preview.training", standard.TRAINING),
}
# (domain, operator) -> the rule for what ONNX's own inference leaves open.
GAPS: Mapping[tuple[str, str], Rule] = {
    **_in_domain("", standard.GAPS),
    **_in_domain("ai.onnx.ml", ml.GAPS),
}


def applied(rule: Rule, call: Call) -> tuple[Type, ...]:
    """The outputs of `call` by `rule`: unknown where a fact is missing, from end to end where a shape is bounded."""
    if call.node.op_type in sequences.RULES or not any(isinstance(type_, BoundedType) for type_ in call.types):
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


__all__ = ["GAPS", "RULES", "applied"]
