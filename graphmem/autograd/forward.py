"""Program -> Machine: the forward pass, value by value, each released after its last use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any

from graphmem.autograd.machine import Machine
from graphmem.autograd.rebatch import wanted
from graphmem.autograd.registry import Rule
from graphmem.autograd.releases import Holds, last_holds
from graphmem.autograd.rules import rule_of
from graphmem.autograd.saved_hooks import CheckpointFrame, packing, random_state
from graphmem.autograd.segments import Segment
from graphmem.autograd.strides import Shape
from graphmem.autograd.tensor import Tensor
from graphmem.ir.errors import SLIPS, misfits
from graphmem.ir.graph import Issue
from graphmem.ir.program import UNFIT, Call, Program, Ref


class Forward:
    """Runs the calls of a program; `values` holds what is still needed, with a handle each."""

    def __init__(
        self, machine: Machine, program: Program, values: Mapping[str, Tensor],
        segments: Sequence[Segment] = (), holds: Holds = last_holds,
    ) -> None:  # fmt: skip
        self.m = machine
        self.program = program
        self.values: dict[str, Tensor] = dict(values)
        self.given = frozenset(values)
        self.unknown: dict[str, Issue] = {}  # by target, of its first call that no rule says anything about
        self.segments = segments  # of calls that are checkpointed, in order
        self.dies = holds(program)

    def run(self) -> list[Tensor]:
        """The outputs, still held."""
        position = 0
        for segment in self.segments:
            self._span(position, segment.start)
            self._checkpointed(segment)
            position = segment.stop
        self._span(position, len(self.program.calls))
        return [self.values[name] for name in self.program.outputs if name in self.values]

    def _span(self, start: int, stop: int) -> None:
        for position in range(start, stop):
            self._run(self.program.calls[position])
            for name in self.dies.get(position, ()):
                tensor = self.values.pop(name, None) if name not in self.given else None
                if tensor is not None:
                    self.m.release(tensor)

    def _checkpointed(self, segment: Segment) -> None:
        """The calls of a segment, with what they save packed away in a frame that can run them again."""
        m = self.m
        calls = self.program.calls[segment.start : segment.stop]
        names = dict.fromkeys(name for call in calls for name in call.reads)
        inputs = {n: m.hold(self.values[n]) for n in names if n in self.values and n not in self.given}
        with m.within(origin=calls[0].origin, label=""):
            frame = CheckpointFrame(segment.scope, [*inputs.values(), *random_state(m)], keep=segment.keep)
        frame.precision = m.autocast.dtype if m.autocast else ""
        with packing(m, frame):
            self._span(segment.start, segment.stop)
        frame.again = partial(self._again, segment, inputs)
        frame.close_if_empty(m)
        m.frames.append(frame)

    def _again(self, segment: Segment, inputs: Mapping[str, Tensor]) -> None:
        """Run the calls of a segment once more; nothing of it is kept by name."""
        again = copy(self)
        again.values = {**{name: self.values[name] for name in self.given}, **inputs}
        again.given = frozenset(again.values)
        try:
            again._span(segment.start, segment.stop)
        finally:
            for name, tensor in again.values.items():
                if name not in again.given:
                    self.m.release(tensor)

    def _run(self, call: Call) -> None:
        m = self.m
        if m.tape is not None:
            m.tape.call(m)
        args = [self._value(arg, call) for arg in call.args]
        kwargs = {key: self._value(value, call) for key, value in call.kwargs.items()}
        with m.within(
            origin=call.origin, label=_label(call),
            wanted=self._wanted(call, args), wanted_dtypes=tuple(t.dtype for t in call.types),
            grad_enabled=m.context.grad_enabled and call.is_recorded,
        ):  # fmt: skip
            self._ruled(call, args, kwargs)

    def _wanted(self, call: Call, args: Sequence[Any]) -> tuple[Shape, ...]:
        """The shapes of the call's outputs, as far as the file states them for this batch."""
        if self.program.batch is None:
            return tuple(t.shape for t in call.types)
        return wanted(call, args[0] if args and isinstance(args[0], Tensor) else None, *self.program.batch)

    def _ruled(self, call: Call, args: list[Any], kwargs: Mapping[str, Any]) -> None:
        """The call by its rule, or by what holds for any."""
        m, function = self.m, rule_of(call.target)
        first = len(m.steps)
        with m.scope():
            made = _followed(m, function, call, args, kwargs) if function is not None else None
            if made is None and (function is None or call.types):
                if any("float" in t.dtype for t in call.types) or not call.types:  # of integers the size is all
                    self.unknown.setdefault(call.target, _gap(call, function is not None))
                made = _unknown(m, call, args)
            outputs = [made] if isinstance(made, Tensor) else list(made or [])
            for name, tensor in zip(call.outputs, outputs, strict=False):
                tensor.name = tensor.name or name
                self.values[name] = m.hold(tensor)
        m.note_reads(first, [t.storage.number for name in call.reads if (t := self.values.get(name)) is not None])

    def _loose(self, name: str, call: Call) -> Tensor | None:
        """The tensor of a value that no call makes, made when it is first read."""
        type_ = self.program.loose.get(name)
        if type_ is None:
            return None
        about = self.m.within(origin=call.origin, label=_label(call))
        with about, self.m.scope(), self.m.operator("shape arithmetic"):
            tensor = self.m.hold(self.m.empty(type_.shape, type_.dtype))
        tensor.name = name
        self.values[name] = tensor
        return tensor

    def _value(self, arg: Any, call: Call) -> Any:
        if isinstance(arg, Ref):
            return self.values.get(arg.name) or self._loose(arg.name, call)
        if isinstance(arg, list | tuple):
            return [self._value(item, call) for item in arg]
        return arg


def _label(call: Call) -> str:
    """The name of what the call allocates."""
    return call.outputs[0] if call.outputs else ""


def _followed(m: Machine, function: Rule, call: Call, args: list[Any], kwargs: Mapping[str, Any]) -> Any:
    """What the rule makes of the call, or None when the call does not fit it.

    A rule that trips where nothing makes an operand of the call, or its first, is not at fault.
    """
    depth = len(m.scopes)
    try:
        return function(m, *args, **kwargs)
    except misfits(*(SLIPS if args[:1] == [None] or _lacks(call.args, args) else ())):
        m.unwind(depth)
        return None


def _lacks(wanted_: Sequence[Any], given: Sequence[Any]) -> bool:
    """True when a value that is read by name is not there."""
    return any(
        (isinstance(a, Ref) and b is None) or (isinstance(a, list | tuple) and _lacks(a, b))
        for a, b in zip(wanted_, given, strict=True)
    )


def _gap(call: Call, has_rule: bool) -> Issue:
    """What is said of a call that is counted without its rule."""
    operator = call.target.removeprefix(UNFIT)
    has_rule = has_rule or call.target.startswith(UNFIT)
    what = f"the rule of {operator} does not fit this call" if has_rule else f"no rule for {operator}"
    where = call.origin.scope or next(iter(call.outputs), call.target)
    return Issue("unknown-rule", where, f"{what}: inputs and outputs are counted as saved")


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
