"""(Program, LoRA) -> the Program with low-rank adapters beside its linear layers, as peft writes them.

    base   = linear(x, weight, bias)                    frozen
    result = base + lora_B(lora_A(x)) * scaling         lora_A: R x inputs, lora_B: outputs x R, float32, trained

Adapters are float32 whatever the precision of the model (peft's autocast_adapter_dtype): a half-precision input is cast
to float32, a local that lives until the layer returns, and in pure halves the sum is cast back. Without dropout.
Source: peft/tuners/lora/layer.py, Linear.forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from graphmem.ir.errors import OptionError
from graphmem.ir.program import Call, Given, Program, Ref
from graphmem.ir.types import TensorType

_ENDS = (".lora_A.weight", ".lora_B.weight")


@dataclass(frozen=True, slots=True)
class Lora:
    """Rank of the adapters, and a pattern of the modules that get one; "" is every linear layer but the last."""

    rank: int
    pattern: str = ""


def parsed_lora(text: str) -> Lora | None:
    """The adapters that R or R:PATTERN asks for; None for an empty text, OptionError for any other."""
    if not text:
        return None
    rank, _, pattern = text.partition(":")
    if not rank.isdecimal() or int(rank) < 1:
        raise OptionError(f"lora '{text}' is not R or R:PATTERN with a rank of 1 or more, such as 8 or 8:*.q_proj")
    return Lora(int(rank), pattern)


def is_adapter(name: str) -> bool:
    """True for the weight of an adapter."""
    return name.endswith(_ENDS)


def adapted(program: Program, lora: Lora, dtype: str) -> Program:
    """The program with adapters; `dtype` is that of a pure half precision, else "".

    Raises OptionError when no layer matches.
    """
    parameters = {given.name: given.type.shape for given in program.of("parameter")}
    layers = [(position, call) for position, call in enumerate(program.calls) if _weight(call, parameters)]
    chosen = layers[:-1] if not lora.pattern else [row for row in layers if _matches(row[1], parameters, lora.pattern)]
    if not chosen:
        known = ", ".join(dict.fromkeys(_module(call, _weight(call, parameters)) for _, call in layers[:6]))
        what = f"matches '{lora.pattern}'" if lora.pattern else "but the last is there"
        raise OptionError(f"no linear layer {what}; linear layers: {known or 'none'}")
    places = {position for position, _ in chosen}
    calls: list[Call] = []
    adapters: dict[str, Given] = {}
    for position, call in enumerate(program.calls):
        if position not in places:
            calls.append(call)
            continue
        weight = _weight(call, parameters)
        ends = parameters[weight] if call.target.startswith("aten.linear") else parameters[weight][::-1]
        module = _module(call, weight)
        for end, shape in zip(_ENDS, ((lora.rank, ends[1]), (ends[0], lora.rank)), strict=True):
            adapters[module + end] = Given(module + end, "parameter", TensorType("float32", shape))
        calls += _with_adapter(call, module, dtype)
    return replace(program, calls=tuple(calls), given=(*program.given, *adapters.values()))


def _weight(call: Call, parameters: dict[str, tuple[int, ...]]) -> str:
    """Name of the weight of a linear layer: nn.Linear, or the addmm of transformers' Conv1D; "" of anything else."""
    place = {"aten.linear": 1, "aten.addmm": 2}.get(".".join(call.target.split(".")[:2]))
    weight = call.args[place] if place is not None and len(call.args) > place else None
    if not isinstance(weight, Ref) or len(parameters.get(weight.name, ())) != 2:
        return ""
    is_module = call.origin.module.endswith(("Linear", "Conv1D")) if call.origin.module else True
    return weight.name if is_module and "in_proj" not in weight.name else ""


def _module(call: Call, weight: str) -> str:
    """Path of the module, as far as the file tells it; else the name of the weight without its end."""
    return call.origin.scope or weight.removesuffix("weight").rstrip("._") or weight


def _matches(call: Call, parameters: dict[str, tuple[int, ...]], pattern: str) -> bool:
    module = _module(call, _weight(call, parameters))
    return fnmatchcase(module, pattern) or fnmatchcase(module.rpartition(".")[2], pattern)


def _with_adapter(call: Call, module: str, dtype: str) -> Iterator[Call]:
    result = call.outputs[0]
    x = call.args[0 if call.target.startswith("aten.linear") else 1]
    step = 0

    def made(target: str, *args: Any, name: str = "", **kwargs: Any) -> Call:
        nonlocal step
        step += 1
        return Call(target, args, (name or f"{result}.lora{step}",), (), kwargs, call.origin)

    base = replace(call, outputs=(f"{result}.base",))
    yield base
    cast = made("aten._to_copy.default", x, dtype="float32")
    down = made("aten.linear.default", Ref(cast.outputs[0]), Ref(module + _ENDS[0]))
    up = made("aten.linear.default", Ref(down.outputs[0]), Ref(module + _ENDS[1]))
    scaled = made("aten.mul.Tensor", Ref(up.outputs[0]), 2.0)
    yield from (cast, down, up, scaled)
    local = Ref(cast.outputs[0])
    sides = (Ref(base.outputs[0]), Ref(scaled.outputs[0]))
    total = made("aten.add.Tensor", *sides, name="" if dtype else result, local=local)
    yield total
    if dtype:
        yield made("aten._to_copy.default", Ref(total.outputs[0]), name=result, dtype=dtype, local=local)
