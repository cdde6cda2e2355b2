"""(Machine, Program, settings) -> what exists before a step, its loss, and what ran as a Schedule.

What the step on one device and on several have in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from graphmem.autograd.forward import Forward
from graphmem.autograd.lora import is_adapter
from graphmem.autograd.machine import Machine
from graphmem.autograd.optimizers import OptimizerStep
from graphmem.autograd.rules.loss import LOSSES, target_type
from graphmem.autograd.rules.pairs import div
from graphmem.autograd.tensor import Tensor
from graphmem.autograd.trace import UNMADE
from graphmem.ir.errors import OptionError
from graphmem.ir.graph import Issue
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Given, Program
from graphmem.ir.schedule import Buffer, Schedule, Step
from graphmem.ir.types import TensorType
from graphmem.raising.draft import is_named

NOT_BUFFERS = ("workspace", UNMADE)  # kinds of records that are no buffers of the schedule


def given_values(m: Machine, program: Program, settings: TrainingOptions) -> dict[str, Tensor]:
    """The tensors that exist before the step, by name."""
    values = {}
    for given in program.given:
        values[given.name] = given_value(m, given.role, given.name, given.type)
        values[given.name].requires_grad = is_trained(given, settings)
    for call in program.calls if settings.freeze else ():
        for name in call.reads:  # the exporter numbers weights that it folds: their module is that of who reads them
            if name in values and not is_named(name) and is_frozen(f"{call.origin.scope}.{name}", settings):
                values[name].requires_grad = False
    return values


def optimizer_of(m: Machine, settings: TrainingOptions, parameters: Sequence[Tensor]) -> OptimizerStep:
    """The optimizer of the step, of those parameters."""
    return OptimizerStep(m, settings.optimizer, parameters, settings.optimizer_form, settings.weight_decay)


def given_value(m: Machine, kind: str, name: str, type_: TensorType) -> Tensor:
    """A tensor that exists before the step."""
    with m.within(phase="before", kind=kind, label=name), m.operator("before the step"), m.scope():
        tensor = m.hold(m.empty(type_.shape, type_.dtype))
    tensor.name = name
    return tensor


def is_trained(given: Given, settings: TrainingOptions) -> bool:
    """True when the value gets a gradient."""
    if given.role != "parameter" or "float" not in given.type.dtype:
        return False
    if settings.lora and not is_adapter(given.name):
        return False
    return not is_frozen(given.name, settings)


def is_frozen(name: str, settings: TrainingOptions) -> bool:
    """True when a pattern names it."""
    return any(fnmatchcase(name, pattern) for pattern in settings.freeze)


def target_value(m: Machine, program: Program, settings: TrainingOptions) -> Tensor | None:
    """The target of the loss, or None when it has none."""
    _refuse_misfit(program, settings.loss)
    type_ = target_type(settings.loss, program.output_type) if program.output_type else None
    return given_value(m, "input", "target", type_) if type_ else None


def _refuse_misfit(program: Program, loss: str) -> None:
    """OptionError where the output that the loss is of has no classes for it, with the losses that suit it."""
    type_ = program.output_type
    if loss != "cross_entropy" or type_ is None or len(type_.shape) > 1:
        return
    made = {name: t for call in program.calls for name, t in zip(call.outputs, call.types, strict=False)}
    shown = ", ".join(f"'{name}' ({made[name]})" if name in made else f"'{name}'" for name in program.outputs)
    fits = "mse, l1 or bce" if type_.shape else "none, as for a model that returns its loss"
    raise OptionError(
        f"cross_entropy wants an output with a dimension of classes, and the first float output is {type_} "
        f"(the outputs: {shown}); give --loss {fits}"
    )


def loss_value(m: Machine, settings: TrainingOptions, outputs: list[Tensor], target: Tensor | None) -> Tensor:
    """The scalar that the backward starts from; the output and it stay alive, as a training loop holds them."""
    floats = [t for t in outputs if t.is_float]
    if not floats:
        raise OptionError("the model has no float output to compute a loss of")
    with m.within(label="loss"), m.scope():
        loss = LOSSES[settings.loss](m, floats[0], target if target is not None else floats[0], settings)
        if settings.accumulate > 1:
            loss = div(m, loss, settings.accumulate)
        return m.hold(loss)


def forward_issues(forward: Forward) -> tuple[Issue, ...]:
    """What the rules of the operators could not say."""
    guessed = [Issue("unknown-workspace", where, what) for where, what in forward.m.guessed.items()]
    return *guessed, *forward.unknown.values()


def schedule_of(m: Machine, first: int) -> Schedule:
    """The trace as a schedule, from the first step of the forward pass on."""
    last = len(m.steps)
    reads: list[list[int]] = [[] for _ in range(last - first)]
    writes: list[list[int]] = [[] for _ in range(last - first)]
    buffers: list[Buffer] = []
    entering, leaving = [], []
    for record in m.records:
        if record.kind in NOT_BUFFERS:
            continue
        number = len(buffers)
        name = record.name or f"{record.kind}:{number}"
        buffers.append(Buffer(name, record.nbytes, record.kind, (name,)))
        if record.start < first:
            entering.append(number)
        else:
            writes[record.start - first].append(number)
        if record.stop < 0:
            leaving.append(number)
        elif record.stop > first:
            reads[record.stop - 1 - first].append(number)
    steps = tuple(
        Step(op.node or op.origin.scope or op.operator, op.operator, op.phase, tuple(r), tuple(w), op.workspace)
        for op, r, w in zip(m.steps[first:], reads, writes, strict=True)
    )
    return Schedule(steps, tuple(buffers), tuple(entering), tuple(leaving))
