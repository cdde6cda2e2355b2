"""(Program, precision) -> the Program of `model.to(dtype)` on inputs of that type; the precisions of a step.

A file keeps no trace of casts that did nothing when it was exported. Two are put back: the cast after a softmax that is
asked for a float32 result, without which PyTorch would refuse the program, and those around RMS norms, which compute in
float32 in torch (layer_norm.cpp) and in transformers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from graphmem.autograd.program import Call, Inference, Program, Ref
from graphmem.ir.types import TensorType

_FLOATS = ("float64", "float32", "float16", "bfloat16")
_SOFTMAX = ("aten.softmax", "aten._softmax", "aten.log_softmax", "aten._log_softmax")
_MADE = ("aten.zeros", "aten.full", "aten.new_zeros", "aten.expand")
_RECURRENT = ("aten.lstm", "aten.gru", "aten.rnn_")
_TO = "aten._to_copy.default"
_WIDE_NORM = re.compile(
    r"torch\.nn\.modules\.normalization\.RMSNorm|transformers\.models\.\w+\.modeling_\w+\.(\w*RMSNorm|\w*T5LayerNorm)"
)


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


def prepared(program: Program, precision: str) -> Program:
    """The program as PyTorch runs it in that precision; the program itself for fp32."""
    if precision == "fp32":
        return program
    casts: list[Inference] = []
    dtype = PRECISIONS[precision].dtype
    calls = [c for call in program.calls for c in (_retyped_call(call, dtype, casts) if dtype else [call])]
    parameters = {g.name for g in program.of("parameter")}
    return replace(
        program,
        calls=tuple(_first_states(_wide_norms(calls, parameters, casts))),
        given=tuple(replace(g, type=_type(g.type, dtype)) for g in program.given),
        output_type=_type(program.output_type, dtype) if program.output_type else None,
        loose={name: _type(t, dtype) for name, t in program.loose.items()},
        inferred=(*program.inferred, *casts),
    )


def _type(type_: TensorType, dtype: str) -> TensorType:
    return TensorType(dtype, type_.shape) if dtype and type_.dtype in _FLOATS else type_


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


def _wide_norms(calls: Sequence[Call], parameters: Set[str], casts: list[Inference]) -> Iterator[Call]:
    """RMS norms, which compute in float32 and return the type of their input."""
    position = 0
    while position < len(calls):
        first = calls[position]
        stop = position + 1
        if first.target.startswith("aten.pow") and _WIDE_NORM.fullmatch(first.origin.module):
            while stop < len(calls) and calls[stop].origin.scope == first.origin.scope:
                stop += 1
            casts.append(Inference("float32 inside of a norm", first.origin.scope, first.origin.module))
            write = _fused if first.origin.module.startswith("torch.") else _widened
            yield from write(calls[position:stop], parameters)
        else:
            yield first
        position = stop


def _first_states(calls: Iterable[Call]) -> Iterator[Call]:
    """torch's recurrent modules make the first state in the type of their input."""
    made: dict[str, Call] = {}
    for call in calls:
        if call.target.startswith(_MADE):
            made.update(dict.fromkeys(call.outputs, call))
        if not call.target.startswith(_RECURRENT):
            yield call
            continue
        typed = {name: f"{name}.of.{call.outputs[0]}" for name in call.reads if name in made}
        for name, first in typed.items():
            yield _like(name, call.args[0].name, first, call)
        states = call.args[1]
        given = (
            list(_renamed(tuple(states), typed)) if isinstance(states, list | tuple) else _renamed((states,), typed)[0]
        )
        yield replace(call, args=(call.args[0], given, *call.args[2:]))


def _fused(group: Sequence[Call], parameters: Set[str]) -> Iterator[Call]:
    """torch.nn.RMSNorm is one call."""
    weights = [Ref(a.name) for c in group for a in c.args if isinstance(a, Ref) and a.name in parameters]
    x = group[0].args[0]
    last = group[-1]
    rank = next((len(call.args[1]) for call in group if call.target.startswith("aten.mean")), 1)
    shape = list(group[0].types[0].shape[-rank:]) if group[0].types else [1]
    yield Call("aten.rms_norm.default", (x, shape, *weights[:1]), last.outputs, last.types, {}, last.origin)


def _widened(group: Sequence[Call], parameters: Set[str]) -> Iterator[Call]:
    """As transformers writes it: weight * (x.float() * rsqrt(x.float()**2 ...)).to(dtype of x)."""
    first, last = group[0], group[-1]
    before = first.args[0].name
    wide, narrow = f"{first.outputs[0]}.wide", f"{last.outputs[0]}.narrow"
    widened = {before: wide}
    yield Call(_TO, (Ref(before),), (wide,), (), {"dtype": "float32"}, first.origin)
    for call in group[:-1]:
        yield replace(call, args=_renamed(call.args, widened))
        if first.origin.module.endswith("T5LayerNorm"):
            widened = {}  # only the square is taken in float32
    normed = [a.name for a in last.args if isinstance(a, Ref) and a.name not in parameters]
    if len(normed) == 1 and len(last.args) == 2:
        yield _like(normed[0], before, narrow, last)
        yield replace(last, args=_renamed(last.args, {normed[0]: narrow}))
        return
    yield replace(last, args=_renamed(last.args, widened), outputs=(narrow,))
    yield _like(narrow, before, last.outputs[0], last)


def _like(source: str, other: str, result: str, near: Call) -> Call:
    return Call("aten.type_as.default", (Ref(source), Ref(other)), (result,), (), {}, near.origin)


def _renamed(args: tuple[Any, ...], names: dict[str, str]) -> tuple[Any, ...]:
    return tuple(Ref(names.get(a.name, a.name)) if isinstance(a, Ref) else a for a in args)
