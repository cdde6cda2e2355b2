"""Graph -> Program: ONNX nodes back to the ATen calls that they were exported from."""

from __future__ import annotations

from graphmem.raising.draft import OPTIONAL
from graphmem.raising.whole import raised

__all__ = ["OPTIONAL", "raised"]
