"""A request -> what a fresh process made of it: onnxruntime never runs, and never crashes, in our own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from graphmem.ir.errors import InputError, ModelError

TIMEOUT_S = 600


def require_onnxruntime() -> None:
    """InputError when onnxruntime is not installed."""
    if find_spec("onnxruntime") is None:
        raise InputError("onnxruntime is not installed; install it with: pip install onnxruntime")


def ask(job: str, request: dict[str, Any], scratch: Path, preload: Path | None = None) -> dict[str, Any]:
    """Run `job` of graphmem.measure.worker in a process of its own; ModelError with onnxruntime's words if it fails."""
    require_onnxruntime()
    answer = scratch / f"{job}-answer.json"
    answer.unlink(missing_ok=True)
    question = scratch / f"{job}-request.json"
    question.write_text(json.dumps(request), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if preload is not None:
        environment["LD_PRELOAD"] = str(preload)
    command = [sys.executable, "-m", "graphmem.measure.worker", job, str(question), str(answer)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise ModelError(f"onnxruntime did not finish within {TIMEOUT_S} s; give it a smaller model or batch") from None
    if not answer.is_file():
        words = " ".join(done.stderr.split())[-400:] or f"exit code {done.returncode}"
        raise ModelError(f"onnxruntime stopped without an answer: {words}")
    found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in found:
        raise ModelError(f"onnxruntime refuses the model: {found['error']}")
    return found
