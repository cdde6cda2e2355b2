"""Text -> bytes: "512MiB", "4GB", "1.5 GiB", "4096"."""

from __future__ import annotations

import re
from decimal import Decimal

from graphmem.ir.errors import OptionError

_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgtp", start=1):
    _UNITS |= {f"{_letter}b": 10 ** (3 * _power), f"{_letter}ib": 1 << (10 * _power)}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")


def nbytes_in(text: str) -> int:
    """Whole bytes, rounded down; MB is 10^6, MiB is 2^20. OptionError says what a size looks like."""
    match = _SIZE.fullmatch(text)
    if match is None or match[2].lower() not in _UNITS:
        raise OptionError(f"'{text}' is not a size; write it as 512MiB, 4GiB or 12GB")
    return int(Decimal(match[1]) * _UNITS[match[2].lower()])
