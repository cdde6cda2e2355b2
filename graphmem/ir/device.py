"""Device: a GPU or accelerator as memory: what the box says, what frameworks see, and what is left for a model.

nominal    12 GiB      the number on the box; a GPU's "GB" is 2^30 bytes
reported   11.75 GiB   the total that a framework sees: nominal less what the driver keeps (and ECC bits)
usable     11.31 GiB   reported less the process's own context, and less a desktop where one runs
"""

from __future__ import annotations

from dataclasses import dataclass

MIB, GIB = 1 << 20, 1 << 30

# Outside any allocator: ~290 MB with lazy loading, ~400 MB reported by users of torch >= 2 (pytorch#86509, #109888).
CONTEXT_BYTES = 450 * MIB
# Xorg takes 176-243 MiB, Windows 610-700 MiB, of 12 GB cards (nvidia-smi listings in issue threads).
DISPLAY_BYTES = 500 * MIB


@dataclass(frozen=True, slots=True)
class Device:
    """One device. `is_measured` says whether `reported_bytes` was seen on such a device or follows from its kind."""

    name: str
    maker: str
    kind: str
    nominal_bytes: int
    reported_bytes: int
    is_measured: bool
    bandwidth: float
    source: str

    def usable_bytes(self, has_display: bool = False) -> int:
        """Bytes left for weights, activations and allocator waste; never negative."""
        return max(0, self.reported_bytes - CONTEXT_BYTES - (DISPLAY_BYTES if has_display else 0))
