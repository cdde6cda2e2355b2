"""(Program, dtype) -> the Program of `model.to(dtype)` on inputs of that type; the precisions that a step can run in.

A file keeps no trace of casts that did nothing when it was exported. Two are put back, because PyTorch refuses the
program without the first, and the second is how transformers writes it: the cast after a softmax that is asked for a
float32 result, and the casts around the RMS norms of transformers, which compute in float32.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from graphmem.autograd.program import Call, Inference, Program, Ref
from graphmem.ir.types import TensorType

_FLOATS = ("float64", "float32", "float16", "bfloat16")
_SOFTMAX = ("aten.softmax", "aten._softmax", "aten.log_softmax", "aten._log_softmax")
_TO = "aten._to_copy.default"
_WIDE_NORM = re.compile(r"transformers\.models\.\w+\.modeling_\w+\.(\w*RMSNorm|\w*T5LayerNorm)")


@dataclass(frozen=True, slots=True)
class Precision:
    """`dtype`: of the whole model, as the file has it when empty. `autocast`: the lower type of mixed precision."""

    dtype: str = ""
    autocast: str = ""
    is_scaled: bool = False  # the loss is scaled by torch.amp.GradScaler


PRECISIONS: dict[str, Precision] = {
    "fp32": Precision(),
    "bf16": Precision("bfloat16"),
    "fp16": Precision("float16"),
    "bf16-amp": Precision(autocast="bfloat16"),
    "fp16-amp": Precision(autocast="float16", is_scaled=True),
}


def retyped(program: Program, dtype: str) -> Program:
    """Every float tensor of the program in `dtype`; the program itself when that is empty."""
    if not dtype:
        return program
    casts: list[Inference] = []
    calls = [c for call in program.calls for c in _retyped_call(call, dtype, casts)]
    parameters = {g.name for g in program.of("parameter")}
    return replace(
        program,
        calls=tuple(_wide_norms(calls, parameters, dtype, casts)),
        given=tuple(replace(g, type=_type(g.type, dtype)) for g in program.given),
        output_type=_type(program.output_type, dtype) if program.output_type else None,
        loose={name: _type(t, dtype) for name, t in program.loose.items()},
        inferred=(*program.inferred, *casts),
    )


def _type(type_: TensorType, dtype: str) -> TensorType:
    return TensorType(dtype, type_.shape) if type_.dtype in _FLOATS else type_


def _retyped_call(call: Call, dtype: str, casts: list[Inference]) -> Iterator[Call]:
    types = tuple(_type(t, dtype) for t in call.types)
    wide = [v for v in (*call.args, *call.kwargs.values()) if isinstance(v, str) and v in _FLOATS]
    if wide and call.target.startswith(_SOFTMAX):
        inner = f"{call.outputs[0]}.wide"
        yield replace(call, outputs=(inner,))
        yield Call(_TO, (Ref(inner),), call.outputs, types, {"dtype": dtype}, call.origin)
        casts.append(Inference("cast after softmax", call.origin.scope or call.outputs[0], "it is asked for float32"))
        return

    def value(v: Any) -> Any:
        return dtype if isinstance(v, str) and v in _FLOATS else v

    kwargs = {key: value(v) for key, v in call.kwargs.items()}
    yield replace(call, types=types, args=tuple(value(a) for a in call.args), kwargs=kwargs)


def _wide_norms(calls: Sequence[Call], parameters: Set[str], dtype: str, casts: list[Inference]) -> Iterator[Call]:
    """RMS norms of transformers: `weight * (x.float() * rsqrt(x.float()**2 ...)).to(dtype)`."""
    position = 0
    while position < len(calls):
        first = calls[position]
        stop = position + 1
        if first.target.startswith("aten.pow") and _WIDE_NORM.fullmatch(first.origin.module):
            while stop < len(calls) and calls[stop].origin.scope == first.origin.scope:
                stop += 1
            casts.append(Inference("float32 inside of a norm", first.origin.scope, first.origin.module))
            yield from _widened(calls[position:stop], parameters, dtype)
        else:
            yield first
        position = stop


def _widened(group: Sequence[Call], parameters: Set[str], dtype: str) -> Iterator[Call]:
    first, last = group[0], group[-1]
    before = first.args[0].name
    wide, narrow = f"{first.outputs[0]}.wide", f"{last.outputs[0]}.narrow"
    widened = {before: wide}
    yield _cast(before, wide, "float32", first)
    for call in group[:-1]:
        yield replace(call, args=_renamed(call.args, widened))
        if first.origin.module.endswith("T5LayerNorm"):
            widened = {}  # only the square is taken in float32
    normed = [a.name for a in last.args if isinstance(a, Ref) and a.name not in parameters]
    if len(normed) == 1 and len(last.args) == 2:
        yield _cast(normed[0], narrow, dtype, last)
        yield replace(last, args=_renamed(last.args, {normed[0]: narrow}))
        return
    yield replace(last, args=_renamed(last.args, widened), outputs=(narrow,))
    yield _cast(narrow, last.outputs[0], dtype, last)


def _cast(source: str, result: str, dtype: str, near: Call) -> Call:
    return Call(_TO, (Ref(source),), (result,), (), {"dtype": dtype}, near.origin)


def _renamed(args: tuple[Any, ...], names: dict[str, str]) -> tuple[Any, ...]:
    return tuple(Ref(names.get(a.name, a.name)) if isinstance(a, Ref) else a for a in args)
