"""devices.csv -> Device: the catalogue, and a device found by its name, by half of it, or made from a size.

Text -> bytes: "4GiB", "512MiB", "12GB", "4096".

Device -> Accelerator: how PyTorch takes memory on it, and with it which figure is held against the device.

A step -> the system memory to pair with its device, part by part.

"As much RAM as GPU memory plus a quarter" is a rule about the card; what a job holds in system memory follows from the
model and its loader instead.
"""

from __future__ import annotations

import csv
import functools
import re
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files

from graphmem.ir.device import GIB, Device
from graphmem.ir.errors import OptionError
from graphmem.ir.fit import HostMemory, HostPart
from graphmem.memory.allocator import CUBLAS_WORKSPACE

_UNITS = {
    "": 1,
    "b": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}


def nbytes_of_text(text: str) -> int:
    """Bytes of a size as people write it: GB is decimal, GiB binary; OptionError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?\s*", text.lower())
    if match is None or match[2] not in _UNITS:
        raise OptionError(f"'{text}' is not a size; write 4GiB, 512MiB or 12GB")
    whole, _, fraction = match[1].partition(".")
    nbytes: int = int(whole + fraction) * _UNITS[match[2]] // 10 ** len(fraction)
    return nbytes


# Share of the nominal memory that a framework sees, by what the device is; the lowest seen of each kind (Linux):
# 3.81 of 4, 5.79 of 6 and 14.75 of 16 GiB with ECC in GDDR, 39.5 of 40 with HBM. Unified memory: what Apple recommends
# as working set; embedded boards leave the rest to the CPU's system; neither was measured here.
_SHARES = {"small": 0.9525, "gddr": 0.965, "gddr-ecc": 0.92, "hbm": 0.985, "unified": 0.75, "embedded": 0.85}


def _share(kind: str, memory_type: str, has_ecc: bool, gib: float) -> float:
    if kind in ("unified", "embedded"):
        return _SHARES[kind]
    if memory_type.startswith("HBM"):
        return _SHARES["hbm"]
    if has_ecc:
        return _SHARES["gddr-ecc"]
    return _SHARES["small" if gib <= 4 else "gddr"]


@functools.cache
def catalogue() -> tuple[Device, ...]:
    """Every device of the catalogue, in the order of the file."""
    text = files("graphmem.fitting").joinpath("devices.csv").read_text(encoding="utf-8")
    return tuple(map(_device, csv.DictReader(text.splitlines())))


def _device(row: dict[str, str]) -> Device:
    gib = float(row["memory_gib"])
    reported = float(row["reported_gib"]) if row["reported_gib"] else None
    share = _share(row["kind"], row["memory_type"], row["ecc"] == "yes", gib)
    return Device(
        name=row["name"],
        maker=row["maker"],
        kind=row["kind"],
        nominal_bytes=int(gib * GIB),
        reported_bytes=int((reported or gib * share) * GIB),
        is_measured=reported is not None,
        bandwidth=float(row["bandwidth_gb_per_s"]),
        source=row["source"],
    )


def device(text: str) -> Device:
    """The device meant by "rtx 3060", "3060", "h100-sxm" or a size such as "4GB"; OptionError with a suggestion.

    A size in GB is a card of that nominal memory (GB on a GPU means GiB); in GiB or MiB it is what a framework sees.
    """
    found = _of_size(text)
    if found is not None:
        return found
    names = {_key(d.name): d for d in catalogue()}
    key = _key(text)
    if key in names:
        return names[key]
    containing = [d for name, d in names.items() if key and key in name]
    ending = [d for d in containing if _key(d.name).endswith(key)]  # "3090" is the RTX 3090, not the 3090 Ti
    for candidates in (containing, ending):
        if len(candidates) == 1:
            return candidates[0]
    if containing:
        listed = ", ".join(d.name for d in containing[:8])
        raise OptionError(f"device '{text}' may be any of: {listed}; give the whole name")
    close = [names[name].name for name in get_close_matches(key, names, 3, 0.5)]
    hint = (
        f"did you mean {' or '.join(close)}?" if close else "`graphmem devices` lists them, or give a size such as 8GB"
    )
    raise OptionError(f"device '{text}' is not in the catalogue; {hint}")


def _key(name: str) -> str:
    """Letters and digits only, without what makers and users add or leave out."""
    return re.sub(r"(nvidia|geforce|amd|radeon|intel|apple|tesla|instinct|gpu|[^a-z0-9])", "", name.lower())


def _of_size(text: str) -> Device | None:
    if not re.fullmatch(r"\s*[\d.]+\s*[kmgt]i?b\s*", text.lower()):
        return None
    if "i" in text.lower():
        nbytes = nbytes_of_text(text)
        return Device(
            text.strip(), "", "size", nbytes, nbytes, True, 0.0, "the size given, taken as what a framework sees"
        )
    gib = nbytes_of_text(re.sub("b", "ib", text.lower())) / GIB
    reported = int(gib * _share("size", "GDDR", False, gib) * GIB)
    name = f"a card of {gib:g} GiB"
    return Device(
        name, "", "size", int(gib * GIB), reported, False, 0.0, "GB on a GPU means GiB; share of the lowest card seen"
    )


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
