"""trace.c -> a shared object to preload, and the events that it recorded; compiled where a C compiler is there."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np


def compiled(scratch: Path) -> Path | None:
    """The tracer as a shared object in `scratch`, or None without a C compiler or where nothing can be preloaded."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or os.name != "posix":
        return None
    target = scratch / "trace.so"
    with as_file(files("graphmem.measure") / "trace.c") as source:
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(target), str(source), "-ldl", "-lpthread"]
        done = subprocess.run(command, capture_output=True, check=False)
    return target if done.returncode == 0 else None


def traced(action: Callable[[], Any]) -> dict[str, list[int]]:
    """Do `action` in a process that has the tracer preloaded: the events and the blocks that they are about.

    A positive event allocated that many bytes, a negative one freed a block of that many.
    """
    library = ctypes.CDLL(None)
    for name in ("trace_events", "trace_blocks"):
        getattr(library, name).restype = ctypes.POINTER(ctypes.c_int64)
    library.trace_stop.restype = ctypes.c_int64
    library.trace_start()
    try:
        kept = action()
    finally:
        count = library.trace_stop()
    del kept
    if count < 0:
        raise RuntimeError("the run allocates more often than the tracer can record (1,048,576 events)")
    events = np.ctypeslib.as_array(library.trace_events(), (max(count, 1),))[:count].tolist()
    blocks = np.ctypeslib.as_array(library.trace_blocks(), (max(count, 1),))[:count].tolist()
    return {"events": events, "blocks": blocks}
