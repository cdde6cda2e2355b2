"""The onnxruntime versions whose memory planner the rules were compared with, byte by byte."""

from __future__ import annotations

FIRST, LAST = (1, 31), (1, 31)  # major and minor, both included; see tests/oracle/test_onnxruntime_truth.py


def is_known(version: str) -> bool:
    """True when the rules were checked against this version."""
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    return FIRST <= parts <= LAST


def supported() -> str:
    """The range in words."""
    first, last = (".".join(map(str, version)) for version in (FIRST, LAST))
    return first if first == last else f"{first} to {last}"
