"""Program -> Schedule of one training step: forward, loss, backward, optimizer, as the simulated engine runs them.

A step of the schedule is one outermost operator; buffers are allocations that outlive their operator. What exists
before the step (parameters, buffers, optimizer state, inputs, targets) enters with the caller. The loop is

    for _ in range(N):                      # one micro-batch of inputs at a time, N = 1 without accumulation
        with autocast(...):                 # in the mixed precisions
            out = model(*inputs)            # `out` and `loss` of the pass before die when their names are bound again
            loss = loss_of(out, target) / N
        loss.backward()                     # scaler.scale(loss).backward() in fp16-amp
    optimizer.step()
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from graphmem.autograd.autocast import autocast
from graphmem.autograd.backward import backward, forget
from graphmem.autograd.losses import LOSSES, target_type
from graphmem.autograd.machine import UNMADE, Machine
from graphmem.autograd.optimizers import Step as OptimizerStep
from graphmem.autograd.precision import PRECISIONS, prepared
from graphmem.autograd.program import Given, Program
from graphmem.autograd.rebatch import rebatched
from graphmem.autograd.registry import RULES
from graphmem.autograd.run import Forward
from graphmem.autograd.segments import segments_of
from graphmem.autograd.tape import Tape
from graphmem.autograd.tensor import Tensor
from graphmem.ir.errors import OptionError
from graphmem.ir.graph import Issue
from graphmem.ir.schedule import Buffer, Schedule, Step
from graphmem.ir.training import TrainingSettings
from graphmem.ir.types import TensorType

GIVEN = ("parameter", "buffer", "constant", "input", "optimizer_state")
STEADY = 2  # micro-batches that are run: the second starts as every later one does, with gradients, out and loss alive


@dataclass(frozen=True, slots=True)
class TrainingTrace:
    """The schedule of a step, the machine that it was read from, and the tensors that the backward waited for."""

    schedule: Schedule
    machine: Machine
    saved: tuple[int, ...]
    issues: tuple[Issue, ...]
    first_step: int


def training_trace(
    program: Program, settings: TrainingSettings, weight_decay: bool = False, batch: tuple[int, int] | None = None,
    tape: Tape | None = None,
) -> TrainingTrace:  # fmt: skip
    """Run the step on a simulated machine; `batch` is that of the file and another to run it at; a `tape` takes notes.

    Raises OptionError when nothing is trainable, or the output does not fit the loss.
    """
    m = Machine(device=settings.device)
    program = prepared(program, settings.precision)
    if batch is not None:
        program = rebatched(program, *batch)
    values = given_values(m, program, settings)
    parameters = [values[g.name] for g in program.of("parameter") if values[g.name].requires_grad]
    if not parameters:
        raise OptionError("no parameter needs a gradient: the file holds no float weights, or --freeze leaves none")
    optimizer = OptimizerStep(m, settings.optimizer, parameters, settings.form, weight_decay)
    m.kind = "optimizer_state"
    optimizer.make_state()
    target = _target(m, program, settings)
    scale = _scaler(m) if PRECISIONS[settings.precision].is_scaled else None
    first = len(m.steps)
    if tape is not None:
        m.tape, tape.seen = tape, len(m.records)
    loop = _Loop(m, program, values, settings, target, batch, scale)
    for _ in range(min(settings.accumulate, STEADY)):
        loop.micro_batch()
    with m.scope():
        if scale is not None:
            _unscaled(m)
        optimizer.run()
    return TrainingTrace(schedule_of(m, first), m, loop.saved, issues_of(loop.forward), first)


class _Loop:
    """The locals of a training loop: `out` and `loss` live until their names are bound again."""

    def __init__(
        self, m: Machine, program: Program, values: dict[str, Tensor], settings: TrainingSettings,
        target: Tensor | None, batch: tuple[int, int] | None, scale: Tensor | None,
    ) -> None:  # fmt: skip
        self.m, self.program, self.values, self.settings = m, program, values, settings
        self.target, self.batch, self.scale = target, batch, scale
        self.segments = segments_of(program, settings.checkpoint)
        self.out: list[Tensor] = []
        self.loss: Tensor | None = None
        self.saved: tuple[int, ...] = ()

    def micro_batch(self) -> None:
        """One forward and backward pass; gradients stay."""
        m = self.m
        m.phase, m.kind = "forward", "activation"
        self.forward = Forward(m, self.program, self.values, self.batch, self.segments)
        with autocast(m, PRECISIONS[self.settings.precision].autocast):
            self._forward()
        self.saved = tuple(n for n, r in enumerate(m.records) if r.kind == "activation" and r.stop < 0)
        m.kind, m.label = "temporary", ""
        assert self.loss is not None
        if self.loss.node is None:
            raise OptionError("the first output of the model does not depend on any trainable parameter")
        m.phase = "backward"
        with m.scope():
            backward(m, RULES["aten.mul"](m, self.loss, self.scale) if self.scale is not None else self.loss)

    def _forward(self) -> None:
        m = self.m
        out = self.forward.run()
        for tensor in self.out:
            forget(m, tensor.node)
            m.release(tensor)
        self.out = out
        loss = _loss(m, self.settings, out, self.target)
        if self.loss is not None:
            m.release(self.loss)
        self.loss = loss


def _scaler(m: Machine) -> Tensor:
    """The two tensors of torch.amp.GradScaler, the scale first."""
    scale = _made(m, "optimizer_state", "scaler.scale", TensorType("float32", ()))
    _made(m, "optimizer_state", "scaler.growth", TensorType("int32", ()))
    return scale


def _unscaled(m: Machine) -> None:
    """scaler.step before the optimizer's: gradients are multiplied in place; two numbers stay until scaler.update."""
    m.phase, m.kind, m.label = "optimizer", "temporary", "scaler"
    for _ in ("inverse scale", "found infinities"):
        with m.operator("aten::to"):
            m.empty((), "float32")
    with m.operator("aten::_amp_foreach_non_finite_check_and_unscale_"):
        pass


def given_values(m: Machine, program: Program, settings: TrainingSettings) -> dict[str, Tensor]:
    """The tensors that exist before the step, by name."""
    m.phase = "before"
    values = {}
    for given in program.given:
        values[given.name] = _made(m, given.role, given.name, given.type)
        values[given.name].requires_grad = _is_trained(given, settings)
    return values


def _made(m: Machine, kind: str, name: str, type_: TensorType) -> Tensor:
    m.kind, m.label = kind, name
    with m.operator("before the step"), m.scope():
        tensor = m.hold(m.empty(type_.shape, type_.dtype))
    tensor.name = name
    return tensor


def _is_trained(given: Given, settings: TrainingSettings) -> bool:
    if given.role != "parameter" or "float" not in given.type.dtype:
        return False
    return not any(fnmatchcase(given.name, pattern) for pattern in settings.frozen)


def _target(m: Machine, program: Program, settings: TrainingSettings) -> Tensor | None:
    type_ = target_type(settings.loss, program.output_type) if program.output_type else None
    return _made(m, "input", "target", type_) if type_ else None


def _loss(m: Machine, settings: TrainingSettings, outputs: list[Tensor], target: Tensor | None) -> Tensor:
    """The scalar that the backward starts from; the output and it stay alive, as a training loop holds them."""
    floats = [t for t in outputs if t.is_float]
    if not floats:
        raise OptionError("the model has no float output to compute a loss of")
    m.label, m.origin = "loss", type(m.origin)()
    m.wanted, m.wanted_dtypes = (), ()
    with m.scope():
        loss = LOSSES[settings.loss](m, floats[0], target if target is not None else floats[0])
        if settings.accumulate > 1:
            loss = RULES["aten.div"](m, loss, settings.accumulate)
        return m.hold(loss)


def issues_of(forward: Forward) -> tuple[Issue, ...]:
    """What the rules of the operators could not say."""
    guessed = [Issue("unknown-workspace", where, what) for where, what in forward.m.guessed.items()]
    return *guessed, *(
        Issue(
            "unknown-rule",
            call.origin.scope or call.outputs[0],
            f"no rule for {target}: inputs and outputs are counted as saved",
        )
        for target, call in forward.unknown.items()
    )


def schedule_of(m: Machine, first: int) -> Schedule:
    """The trace as a schedule, from the first step of the forward pass on."""
    last = len(m.steps)
    reads: list[list[int]] = [[] for _ in range(last - first)]
    writes: list[list[int]] = [[] for _ in range(last - first)]
    buffers: list[Buffer] = []
    entering, leaving = [], []
    for record in m.records:
        if record.kind in ("workspace", UNMADE):
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
