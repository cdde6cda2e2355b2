"""A request -> what a fresh process made of it: onnxruntime never runs, and never crashes, in our own process.

Where a C compiler is there, trace.c becomes a shared object to preload, which records every allocation.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from graphmem.ir.errors import InputError, ModelError

TIMEOUT_S = 600
# What onnxruntime may take to load and optimize a model, which computes every constant in it: seconds of processor time
# and bytes, and more for each byte of the file and of the weights.
LOAD_S, LOAD_NBYTES = 6, 4 << 30
FILE_PER_S, WEIGHTS_PER_S, COPIES = 100_000, 50_000_000, 4


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds of processor time, and bytes of address space, that the process may take."""

    seconds: int
    nbytes: int

    @classmethod
    def to_load(cls, file_bytes: int, weight_bytes: int) -> Limits:
        """Those for a file of that size with so many bytes of weights, in it or beside it."""
        seconds = LOAD_S + file_bytes // FILE_PER_S + weight_bytes // WEIGHTS_PER_S
        return cls(seconds, LOAD_NBYTES + COPIES * weight_bytes)


def require_onnxruntime() -> None:
    """InputError when onnxruntime is not installed."""
    if find_spec("onnxruntime") is None:
        raise InputError("onnxruntime is not installed; install it with: pip install onnxruntime")


def ask(
    job: str, request: dict[str, Any], scratch: Path, preload: Path | None = None, limits: Limits | None = None
) -> dict[str, Any]:
    """Run `job` of graphmem.measure.worker in a process of its own; ModelError with onnxruntime's words if it fails."""
    require_onnxruntime()
    answer = scratch / f"{job}-answer.json"
    answer.unlink(missing_ok=True)
    question = scratch / f"{job}-request.json"
    question.write_text(json.dumps(request | {"limits": limits and [limits.seconds, limits.nbytes]}), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if preload is not None:
        environment["LD_PRELOAD"] = str(preload)
    command = [sys.executable, "-m", "graphmem.measure.worker", job, str(question), str(answer)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise ModelError(f"onnxruntime did not finish within {TIMEOUT_S} s; give it a smaller model or batch") from None
    if limits is not None and done.returncode == -getattr(signal, "SIGXCPU", 0):
        raise ModelError(
            f"onnxruntime takes more than {limits.seconds} s to load and optimize the model, which computes its "
            "constants; leave out the onnxruntime memory model, or optimization with --ort-optimization off"
        )
    if not answer.is_file():
        words = " ".join(done.stderr.split())[-400:] or f"exit code {done.returncode}"
        raise ModelError(f"onnxruntime stopped without an answer: {words}")
    found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in found:
        raise ModelError(f"onnxruntime refuses the model: {found['error']}")
    return found


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
