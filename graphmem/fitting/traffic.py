"""A step or run -> an estimate of the bytes that its operators move: what compares the cost of two ways to train.

Every tensor made in the step is written once and read once; parameters are read by the forward and by the backward
pass; the optimizer reads parameter, gradient and state, and writes parameter and state. On a device limited by memory
bandwidth, time goes with this sum; the figure is for comparing settings, not for telling seconds.
"""

from __future__ import annotations

from graphmem.schedule.training import STEADY, TrainingTrace

# Passes over what exists before the step: (in each forward and backward pass, in the optimizer).
_PASSES = {"parameter": (2, 2), "optimizer_state": (0, 2), "buffer": (1, 0), "constant": (1, 0), "input": (1, 0)}


def moved_by_step(trace: TrainingTrace, accumulate: int, is_training: bool) -> int:
    """Estimated bytes read and written from one optimizer step to the next, `accumulate` passes of the batch.

    Of a forward run: in that run, which reads the parameters once.
    """
    steps = trace.machine.steps
    simulated = min(accumulate, STEADY)
    passes = optimizer = 0
    for record in trace.machine.records:
        if record.start < trace.first_step:
            in_pass, in_optimizer = _PASSES.get(record.kind, (1, 0)) if is_training else (1, 0)
            passes += in_pass * record.nbytes * simulated
            optimizer += in_optimizer * record.nbytes
        elif steps[record.start].phase == "optimizer":
            optimizer += 2 * record.nbytes
        else:
            passes += (3 if record.kind == "gradient" else 2) * record.nbytes
    return passes * accumulate // simulated + optimizer
