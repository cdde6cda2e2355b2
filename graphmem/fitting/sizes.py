"""Text -> bytes: "4GiB", "512MiB", "12GB", "4096"."""

from __future__ import annotations

import re

from graphmem.ir.errors import OptionError

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
