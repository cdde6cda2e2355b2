"""Graph -> Program: ONNX nodes back to the ATen calls that they were exported from."""

from __future__ import annotations

from graphmem.raising.draft import NORM_HINT, OPTIONAL
from graphmem.raising.dropouts import LOST_DROPOUT, LOST_NORM
from graphmem.raising.removed import LEFT_OUT
from graphmem.raising.whole import raised

GAPS = (LOST_DROPOUT, LOST_NORM, NORM_HINT, LEFT_OUT)  # notes of what a file may have lost, and figures lack

__all__ = ["GAPS", "OPTIONAL", "raised"]
