"""Program -> one step of DistributedDataParallel, with the optimizer whole (ddp) or dealt out by parameter (zero1).

Every rank keeps all parameters and gradients, and beside them flat buckets of as many bytes, into which gradients are
copied to be reduced; with gradient_as_bucket_view a gradient becomes a view of its bucket once it is there. What is
described is a step after the first, whose buckets are rebuilt in the order in which gradients were ready.
Who keeps what of fully_shard's parameters is worked out here as well.

Sources, all torch 2.13: nn/parallel/distributed.py (_sync_buffers), csrc/distributed/c10d/reducer.cpp
(compute_bucket_assignment_by_size, rebuild_buckets), nn/parallel/distributed.py (limits),
distributed/optim/zero_redundancy_optimizer.py (_partition_parameters), distributed/fsdp/_fully_shard/_fsdp_param.py
(padded_sharded_size).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from graphmem.autograd.machine import Machine
from graphmem.autograd.strides import Shape
from graphmem.autograd.tensor import Tensor, itemsize
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Program
from graphmem.ir.ranks import Collective, Parallel, Ranked
from graphmem.schedule.parallel.process import (
    Cohort,
    Watched,
    backward_pass,
    collective,
    figures,
    flat,
    forward_pass,
    issues_of,
    optimized,
    trained,
)
from graphmem.schedule.step import given_values, target_value

FIRST_BUCKET = 1 << 20  # bytes; dist._DEFAULT_FIRST_BUCKET_BYTES
BUCKET = 25 << 20  # bytes; bucket_cap_mb=25


def bucketed(ready: Sequence[Tensor]) -> list[list[Tensor]]:
    """Parameters in the order in which their gradients are ready -> buckets, as rebuilt after the first iteration.

    A bucket closes once it has reached its limit: the first of a type at 1 MiB, every later one at 25 MiB.
    """
    closed: list[list[Tensor]] = []
    open_: dict[str, list[Tensor]] = {}
    limits: dict[str, int] = {}
    for parameter in ready:
        bucket = open_.setdefault(parameter.dtype, [])
        bucket.append(parameter)
        if sum(p.nbytes for p in bucket) >= limits.get(parameter.dtype, FIRST_BUCKET):
            closed.append(open_.pop(parameter.dtype))
            limits[parameter.dtype] = BUCKET
    return closed + list(open_.values())


def partitioned(parameters: Sequence[Tensor], ranks: int) -> list[list[Tensor]]:
    """Whole parameters dealt to ranks: the largest first, each to the rank with the fewest elements so far."""
    parts: list[list[Tensor]] = [[] for _ in range(ranks)]
    sizes = [0] * ranks
    for parameter in sorted(parameters, key=lambda p: -p.elements):
        rank = sizes.index(min(sizes))
        parts[rank].append(parameter)
        sizes[rank] += parameter.elements
    return parts


def padded_rows(shape: Shape, ranks: int) -> int:
    """Rows of the first dimension that every rank stores: ceil(rows / W), the last ones padding."""
    return -(-shape[0] // ranks)


def padded_elements(shape: Shape, ranks: int) -> int:
    """Elements of one rank's padded shard."""
    return padded_rows(shape, ranks) * prod(shape[1:])


def local_shape(shape: Shape, rank: int, ranks: int) -> Shape:
    """The shard of a rank without padding, as torch.chunk cuts it; it may have no rows."""
    rows = padded_rows(shape, ranks)
    return (max(0, min(rows, shape[0] - rank * rows)), *shape[1:])


def replicated(program: Program, settings: TrainingOptions, parallel: Parallel) -> Ranked:
    """Peaks of all ranks; the batch is that of one rank."""
    m = Machine(device=settings.device)
    values = given_values(m, program, settings)
    parameters = trained(values, program)
    whole = sum(p.nbytes for p in parameters)
    bucket = flat(m, whole, "aten::empty", "gradient buckets")
    target = target_value(m, program, settings)
    first = len(m.steps)
    buffers = _synced(m, program)
    forward = Watched(m, program, values)
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
    optimized(m, settings, cohorts)
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
