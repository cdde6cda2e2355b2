"""Program -> one step of DistributedDataParallel, with the optimizer whole (ddp) or dealt out by parameter (zero1).

Every rank keeps all parameters and gradients, and beside them flat buckets of as many bytes, into which gradients are
copied to be reduced; with gradient_as_bucket_view a gradient becomes a view of its bucket once it is there. What is
described is a step after the first, whose buckets are rebuilt in the order in which gradients were ready.
Sources: reducer.cpp, nn/parallel/distributed.py (_sync_buffers), zero_redundancy_optimizer.py of torch 2.13.
"""

from __future__ import annotations

from graphmem.autograd.machine import Machine
from graphmem.autograd.program import Program
from graphmem.autograd.rebatch import rebatched
from graphmem.autograd.tensor import Tensor, itemsize
from graphmem.ir.ranks import Collective, Parallel, Ranked
from graphmem.ir.training import TrainingSettings
from graphmem.schedule.parallel.buckets import bucketed, partitioned
from graphmem.schedule.parallel.collectives import collective
from graphmem.schedule.parallel.process import (
    Cohort,
    Watched,
    backward_pass,
    figures,
    flat,
    forward_pass,
    issues_of,
    optimized,
    trained,
)
from graphmem.schedule.step import given_values, target_value


def replicated(
    program: Program, settings: TrainingSettings, parallel: Parallel, weight_decay: bool, batch: tuple[int, int] | None
) -> Ranked:
    """Peaks of all ranks; the batch is that of one rank."""
    m = Machine(device=settings.device)
    if batch is not None:
        program = rebatched(program, *batch)
    values = given_values(m, program, settings)
    parameters = trained(values, program)
    whole = sum(p.nbytes for p in parameters)
    bucket = flat(m, whole, "aten::empty", "gradient buckets")
    target = target_value(m, program, settings)
    first = len(m.steps)
    buffers = _synced(m, program)
    forward = Watched(m, program, values, batch)
    loss = forward_pass(m, forward, settings, target)
    ready: list[Tensor] = []

    def reduced(parameter: Tensor) -> None:
        ready.append(parameter)
        if parallel.bucket_view and parameter.grad is not None:
            with m.scope():
                view = m.hold(m.alias(bucket, parameter.shape, parameter.strides, parameter.dtype))
            m.release(parameter.grad)
            parameter.grad = view

    backward_pass(m, loss, {}, reduced)
    shares = partitioned(parameters, parallel.ranks) if parallel.kind == "zero1" else [parameters]
    cohorts = [Cohort([rank], share, holds=_share(share)) for rank, share in enumerate(shares)]
    if parallel.kind == "ddp":
        cohorts = [Cohort(list(range(parallel.ranks)), parameters)]
    optimized(m, settings, cohorts, weight_decay)
    sent = [
        *collective("broadcast", "buffers, from rank 0 before the forward pass", buffers, parallel.ranks),
        *collective("all-reduce", "gradient buckets", _sizes(ready), parallel.ranks),
        *_updates(shares, parallel),
    ]
    idle = [p.name for p in parameters if p.grad is None]
    return Ranked(
        parallel,
        settings,
        figures(m, first, cohorts),
        tuple(sent),
        _notes(parallel, whole, idle),
        issues_of(program, forward),
    )


def _synced(m: Machine, program: Program) -> list[int]:
    """Flat copies of the buffers, made and dropped as the forward pass starts: bytes of one for each type."""
    m.phase = "forward"
    sizes: dict[str, int] = {}
    for given in program.of("buffer"):
        elements = 1
        for size in given.type.shape:
            elements *= size
        sizes[given.type.dtype] = sizes.get(given.type.dtype, 0) + elements * itemsize(given.type.dtype)
    for copy in [flat(m, nbytes, "aten::cat", "flat buffers") for nbytes in sizes.values()]:
        m.release(copy)
    return list(sizes.values())


def _sizes(ready: list[Tensor]) -> list[int]:
    return [sum(p.nbytes for p in bucket) for bucket in bucketed(ready)]


def _share(share: list[Tensor]) -> str:
    return f"the optimizer of {len(share)} parameters, {sum(p.elements for p in share):,} elements"


def _updates(shares: list[list[Tensor]], parallel: Parallel) -> list[Collective]:
    if parallel.kind != "zero1":
        return []
    sizes = [p.nbytes for share in shares for p in share]
    return collective("broadcast", "updated parameters, from the rank that has their state", sizes, parallel.ranks)


def _notes(parallel: Parallel, whole: int, idle: list[str]) -> tuple[str, ...]:
    grads = "gradients are views of them" if parallel.bucket_view else "beside the gradients"
    notes = [f"DDP's buckets hold {whole:,} bytes on every rank, {grads}"]
    if parallel.kind == "zero1":
        notes.append("ZeroRedundancyOptimizer deals out whole parameters: ranks differ by what they were dealt")
    if idle:
        notes.append(
            f"DDP stops where a parameter gets no gradient, as '{idle[0]}': freeze it, or find_unused_parameters"
        )
    return tuple(notes)
