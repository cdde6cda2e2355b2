"""Parameters -> who keeps what: DDP's gradient buckets, ZeroRedundancyOptimizer's partition, fully_shard's shards.

Sources, all torch 2.13: csrc/distributed/c10d/reducer.cpp (compute_bucket_assignment_by_size, rebuild_buckets),
nn/parallel/distributed.py (limits), distributed/optim/zero_redundancy_optimizer.py (_partition_parameters),
distributed/fsdp/_fully_shard/_fsdp_param.py (padded_sharded_size).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from graphmem.autograd.strides import Shape
from graphmem.autograd.tensor import Tensor

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
