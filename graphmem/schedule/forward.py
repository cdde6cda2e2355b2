"""Program -> trace of one eager forward run in PyTorch under `torch.no_grad()`: nothing is saved for later."""

from __future__ import annotations

from graphmem.autograd.autocast import autocast
from graphmem.autograd.machine import Machine
from graphmem.autograd.precision import PRECISIONS, prepared
from graphmem.autograd.program import Program
from graphmem.autograd.rebatch import rebatched
from graphmem.autograd.run import Forward
from graphmem.ir.training import TrainingSettings
from graphmem.schedule.step import forward_issues, given_values, schedule_of
from graphmem.schedule.training import TrainingTrace


def forward_trace(
    program: Program, device: str, precision: str = "fp32", batch: tuple[int, int] | None = None
) -> TrainingTrace:
    """The run on a simulated machine, its outputs held at the end; `batch` as for `training_trace`."""
    m = Machine(device=device, grad_enabled=False)
    program = prepared(program, precision)
    if batch is not None:
        program = rebatched(program, *batch)
    values = given_values(m, program, TrainingSettings("none", "sgd", "single", device, ("*",)))
    first = len(m.steps)
    m.phase, m.kind = "forward", "activation"
    forward = Forward(m, program, values, batch)
    with autocast(m, PRECISIONS[precision].autocast):
        forward.run()
    return TrainingTrace(schedule_of(m, first), m, (), forward_issues(forward), first)
