"""Device -> Accelerator: how PyTorch takes memory on it, and with it which figure is held against the device."""

from __future__ import annotations

import re
from dataclasses import dataclass

from graphmem.ir.device import Device
from graphmem.memory.allocator import CUBLAS_WORKSPACE

# Compute capability 9.0 and newer, by name: Hopper and Blackwell (developer.nvidia.com/cuda-gpus).
_NEWER = re.compile(r"\b(G?H[12]00|G?B[23]00|RTX 50\d\d|RTX PRO 6000 Blackwell|Jetson Thor)\b")


@dataclass(frozen=True, slots=True)
class Accelerator:
    """`torch_device` chooses the rules of a step; `has_caching_allocator` whether reserved bytes or the peak count.

    `uncounted` is what such a device adds that no figure holds.
    """

    torch_device: str
    has_caching_allocator: bool
    cublas_workspace: int = 0
    uncounted: tuple[str, ...] = ()

    @property
    def compared(self) -> str:
        """The figure that is held against the device, in words."""
        if self.has_caching_allocator:
            return "reserved by PyTorch's caching allocator, simulated"
        return "tensors alive at once"


def accelerator(device: Device) -> Accelerator:
    """CUDA's caching allocator for NVIDIA, AMD (HIP shares it) and plain sizes; tensors alone for all others."""
    if device.maker in ("NVIDIA", "AMD", ""):
        return Accelerator("cuda", True, CUBLAS_WORKSPACE[9 if _NEWER.search(device.name) else 8])
    return Accelerator("cpu", False, 0, (f"what {device.maker}'s own allocator and kernels add",))
