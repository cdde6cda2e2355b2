"""Program -> TrainingTrace of one eager step (forward, loss, backward, optimizer) or of one run under torch.no_grad().

A step of the schedule is one outermost operator; buffers are allocations that outlive their operator. What exists
before the step (parameters, buffers, optimizer state, inputs, targets) enters with the caller. The loop is

    for _ in range(N):                      # one micro-batch of inputs at a time, N = 1 without accumulation
        with autocast(...):                 # in the mixed precisions
            out = model(*inputs)            # `out` and `loss` of the pass before die when their names are bound again
            loss = loss_of(out, target) / N
        loss.backward()                     # scaler.scale(loss).backward() in fp16-amp
    optimizer.step()

Under no_grad nothing is saved for later, and the outputs are held at the end.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

from graphmem.autograd import ops
from graphmem.autograd.backward import backward, forget
from graphmem.autograd.forward import Forward
from graphmem.autograd.machine import Machine
from graphmem.autograd.optimizers import OptimizerStep
from graphmem.autograd.precision import PRECISIONS, autocast
from graphmem.autograd.releases import last_holds, longest_holds, tells_names
from graphmem.autograd.rules.pairs import mul
from graphmem.autograd.saved_hooks import Host, packing
from graphmem.autograd.segments import segments_of
from graphmem.autograd.tape import Tape
from graphmem.autograd.tensor import Tensor
from graphmem.ir.errors import OptionError
from graphmem.ir.graph import Issue
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Program
from graphmem.ir.schedule import Schedule
from graphmem.ir.training import HostTraffic
from graphmem.ir.types import TensorType
from graphmem.schedule.programs import step_program
from graphmem.schedule.step import (
    forward_issues,
    given_value,
    given_values,
    loss_value,
    optimizer_of,
    schedule_of,
    target_value,
)

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
    traffic: HostTraffic | None = None


def training_trace(program: Program, settings: TrainingOptions, tape: Tape | None = None) -> TrainingTrace:
    """Run the step on a simulated machine; a `tape` takes notes.

    Raises OptionError when nothing is trainable, or the output does not fit the loss.
    """
    m = Machine(device=settings.device)
    program = step_program(program, settings)
    values = given_values(m, program, settings)
    parameters = [values[g.name] for g in program.of("parameter") if values[g.name].requires_grad]
    if not parameters:
        raise OptionError("no parameter needs a gradient: the file holds no float weights, or --freeze leaves none")
    optimizer = optimizer_of(m, settings, parameters)
    if "optimizer" not in settings.offload:
        optimizer.make_state()
    target = target_value(m, program, settings)
    scale = _scaler(m) if PRECISIONS[settings.precision].is_scaled else None
    first = len(m.steps)
    if tape is not None:
        m.tape, tape.seen = tape, len(m.records)
    loop = _Loop(m, program, values, settings, target, scale)
    for _ in range(min(settings.accumulate, STEADY)):
        loop.micro_batch()
    optimizer.forget_untrained()
    with m.scope():
        if scale is not None:
            _unscaled(m)
        if "optimizer" in settings.offload:
            _step_on_host(m, parameters)
        else:
            optimizer.run()
    traffic = _traffic(settings, loop.host, optimizer, parameters) if settings.offload else None
    return TrainingTrace(schedule_of(m, first), m, loop.saved, forward_issues(loop.forward), first, traffic)


def _step_on_host(m: Machine, parameters: list[Tensor]) -> None:
    """Gradients are copied to the host, where the optimizer steps; the parameters are copied back, in place."""
    with m.within(phase="optimizer"):
        for _ in parameters:
            ops.in_place(m, "aten::copy_")


def _traffic(settings: TrainingOptions, saved: Host, optimizer: OptimizerStep, parameters: list[Tensor]) -> HostTraffic:
    """What waits in host memory: saved tensors; and the optimizer's state with a copy of parameters and gradients."""
    passes, run = settings.accumulate, min(settings.accumulate, STEADY)
    host, out, back = saved.peak, saved.to_host * passes // run, saved.to_device * passes // run
    if "optimizer" in settings.offload:
        size = sum(p.nbytes for p in parameters)
        host, out, back = host + optimizer.state_nbytes() + 2 * size, out + size, back + size
    return HostTraffic(host, out, back)


class _Loop:
    """The locals of a training loop: `out` and `loss` live until their names are bound again."""

    def __init__(
        self, m: Machine, program: Program, values: dict[str, Tensor], settings: TrainingOptions,
        target: Tensor | None, scale: Tensor | None,
    ) -> None:  # fmt: skip
        self.m, self.program, self.values, self.settings = m, program, values, settings
        self.target, self.scale = target, scale
        self.holds = longest_holds if settings.names == "function" and not tells_names(program) else last_holds
        self.segments = segments_of(program, settings.checkpoint)
        self.out: list[Tensor] = []
        self.loss: Tensor | None = None
        self.saved: tuple[int, ...] = ()
        self.host = Host()

    def micro_batch(self) -> None:
        """One forward and backward pass; gradients stay."""
        m = self.m
        self.forward = Forward(m, self.program, self.values, self.segments, self.holds)
        with autocast(m, PRECISIONS[self.settings.precision].autocast):
            self._forward()
        self.saved = tuple(n for n, r in enumerate(m.records) if r.kind == "activation" and r.stop < 0)
        assert self.loss is not None
        if self.loss.node is None:
            raise OptionError("the first output of the model does not depend on any trainable parameter")
        with m.within(phase="backward", kind="temporary"), m.scope():
            root = mul(m, self.loss, self.scale) if self.scale is not None else self.loss
            backward(m, root)

    def _forward(self) -> None:
        m = self.m
        with packing(m, self.host) if "activations" in self.settings.offload else nullcontext():
            out = self.forward.run()
        for tensor in self.out:
            forget(m, tensor.node)
            m.release(tensor)
        self.out = out
        loss = loss_value(m, self.settings, out, self.target)
        if self.loss is not None:
            m.release(self.loss)
        self.loss = loss


def _scaler(m: Machine) -> Tensor:
    """The two tensors of torch.amp.GradScaler, the scale first."""
    scale = given_value(m, "optimizer_state", "scaler.scale", TensorType("float32", ()))
    given_value(m, "optimizer_state", "scaler.growth", TensorType("int32", ()))
    return scale


def _unscaled(m: Machine) -> None:
    """scaler.step before the optimizer's: gradients are multiplied in place; two numbers stay until scaler.update."""
    with m.within(phase="optimizer", kind="temporary", label="scaler"):
        for _ in ("inverse scale", "found infinities"):
            ops.full(m, "aten::to", (), "float32")
        ops.in_place(m, "aten::_amp_foreach_non_finite_check_and_unscale_")


def forward_trace(program: Program, device: str, precision: str = "fp32") -> TrainingTrace:
    """The run on a simulated machine, its outputs held at the end."""
    m = Machine(device=device)
    options = TrainingOptions(loss="none", device=device, freeze=("*",), precision=precision)
    program = step_program(program, options)
    values = given_values(m, program, options)
    first = len(m.steps)
    forward = Forward(m, program, values)
    with m.within(grad_enabled=False), autocast(m, PRECISIONS[precision].autocast):
        forward.run()
    return TrainingTrace(schedule_of(m, first), m, (), forward_issues(forward), first)
