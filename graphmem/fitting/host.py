"""A step -> the system memory to pair with its device, part by part.

"As much RAM as GPU memory plus a quarter" is a rule about the card; what a job holds in system memory follows from the
model and its loader instead.
"""

from __future__ import annotations

from graphmem.ir.device import GIB
from graphmem.ir.fit import HostMemory, HostPart

# torch 2.13 without CUDA is resident with 0.2 GiB (measured); CUDA's libraries and context take the most of the rest,
# which is an assumption: it differs with version and GPU.
PROCESS = 3 * GIB
SYSTEM = 2 * GIB
WORKERS, PREFETCH = 4, 2  # a DataLoader with num_workers=4; prefetch_factor is 2 unless given
WORKER = 200 << 20  # resident in a worker of torch 2.13: 184 MiB measured, shared in part where it is forked
_SOLD = (4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)


def host_memory(input_bytes: int, state_bytes: int, is_training: bool, offloaded: int = 0) -> HostMemory:
    """`input_bytes` of one batch, `state_bytes` of what a checkpoint file holds, `offloaded` of what lives there."""
    parts = [HostPart("the system", SYSTEM), HostPart("the process with torch and CUDA's libraries", PROCESS)]
    if is_training:
        waiting = WORKERS * PREFETCH + 1
        parts.append(HostPart(f"{WORKERS} loader workers", WORKERS * WORKER))
        parts.append(
            HostPart(
                f"{waiting} batches that wait ({WORKERS} workers, {PREFETCH} each; 1 pinned)", waiting * input_bytes
            )
        )
        parts.append(
            HostPart("a checkpoint while it is saved or loaded: parameters, buffers, optimizer state", state_bytes)
        )
    else:
        parts.append(HostPart("the weights while they are loaded", state_bytes))
    if offloaded:
        parts.append(HostPart("what is offloaded", offloaded))
    total = sum(part.nbytes for part in parts)
    sold = next((size * GIB for size in _SOLD if size * GIB >= total), total)
    return HostMemory(tuple(parts), sold)
