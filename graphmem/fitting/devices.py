"""devices.csv -> Device: the catalogue, and a device found by its name, by half of it, or made from a size."""

from __future__ import annotations

import csv
import functools
import re
from difflib import get_close_matches
from importlib.resources import files

from graphmem.fitting.sizes import nbytes_of_text
from graphmem.ir.device import GIB, Device
from graphmem.ir.errors import OptionError

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
