"""Program -> Machine: the forward pass, value by value, each released after its last use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphmem.autograd.machine import Machine
from graphmem.autograd.program import Call, Program, Ref
from graphmem.autograd.registry import rule_of
from graphmem.autograd.tensor import Tensor


class Forward:
    """Runs the calls of a program; `values` holds what is still needed, with a handle each."""

    def __init__(self, machine: Machine, program: Program, values: Mapping[str, Tensor]) -> None:
        self.m = machine
        self.program = program
        self.values: dict[str, Tensor] = dict(values)
        self.given = frozenset(values)
        self.unknown: dict[str, Call] = {}
        self.dies = _last_reads(program)

    def run(self) -> list[Tensor]:
        """The outputs, still held."""
        for position, call in enumerate(self.program.calls):
            self._run(call)
            for name in self.dies.get(position, ()):
                tensor = self.values.pop(name, None) if name not in self.given else None
                if tensor is not None:
                    self.m.release(tensor)
        return [self.values[name] for name in self.program.outputs if name in self.values]

    def _run(self, call: Call) -> None:
        m = self.m
        m.origin, m.label = call.origin, call.outputs[0] if call.outputs else ""
        m.wanted = tuple(t.shape for t in call.types)
        m.wanted_dtypes = tuple(t.dtype for t in call.types)
        args = [self._value(arg) for arg in call.args]
        kwargs = {key: self._value(value) for key, value in call.kwargs.items()}
        function = rule_of(call.target)
        with m.scope():
            if function is None:
                self.unknown.setdefault(call.target, call)
                made = _unknown(m, call, args)
            else:
                made = function(m, *args, **kwargs)
            outputs = [made] if isinstance(made, Tensor) else list(made or [])
            for name, tensor in zip(call.outputs, outputs, strict=False):
                tensor.name = tensor.name or name
                self.values[name] = m.hold(tensor)

    def _value(self, arg: Any) -> Any:
        if isinstance(arg, Ref):
            return self.values.get(arg.name)
        if isinstance(arg, list | tuple):
            return [self._value(item) for item in arg]
        return arg


def _unknown(m: Machine, call: Call, args: list[Any]) -> list[Tensor]:
    """An operation without a rule: it saves its inputs and outputs, and its backward makes every input's gradient."""
    inputs = [t for a in args for t in (a if isinstance(a, list) else [a]) if isinstance(t, Tensor)]
    label = call.target.replace(".", "::", 1)
    with m.operator(label):
        outputs = [m.empty(t.shape, t.dtype) for t in call.types]

    def back(m: Machine, *_: Any) -> list[Tensor | None]:
        with m.operator(f"{label}_backward"):
            return [m.empty(t.shape, t.dtype) if t.is_float else None for t in inputs]

    m.record(f"{call.target} backward", inputs, outputs, back, [*inputs, *outputs])
    return outputs


def _last_reads(program: Program) -> dict[int, list[str]]:
    """Position of a call -> the values that nobody reads after it."""
    last: dict[str, int] = {}
    for position, call in enumerate(program.calls):
        for name in (*call.reads, *call.outputs):
            last[name] = position
    dies: dict[int, list[str]] = {}
    for name, position in last.items():
        if name not in program.outputs:
            dies.setdefault(position, []).append(name)
    return dies
