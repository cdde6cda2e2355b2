"""`python -m graphmem.measure.worker JOB REQUEST ANSWER`: the process in which onnxruntime runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphmem.ir.runtime import SessionOptions

JOBS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def job(function: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Register a job under its function's name."""
    JOBS[function.__name__] = function
    return function


@job
def optimize(request: dict[str, Any]) -> dict[str, Any]:
    """Save the optimized graph; the session itself is of no use."""
    import onnxruntime

    from graphmem.measure.session import session

    session(Path(request["model"]), Path(request["weights"]), SessionOptions(**request["options"]), Path(request["save"]))
    return {"version": onnxruntime.__version__}


@job
def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run twice on random inputs under each set of options, and say what was allocated."""
    import onnxruntime

    from graphmem.measure.session import random_inputs, session
    from graphmem.measure.tracer import traced

    runs = []
    for options in request["options"]:
        made = session(Path(request["model"]), Path(request["weights"]), SessionOptions(**options))
        feeds = random_inputs(made, request["shapes"], request["seed"])
        runs.append([traced(lambda made=made, feeds=feeds: made.run(None, feeds)) for _ in range(request["repeats"])])
    return {"version": onnxruntime.__version__, "runs": runs}


def main(arguments: list[str]) -> None:
    """Do the job and write the answer; an error of onnxruntime's is an answer too."""
    name, question, answer = arguments
    request = json.loads(Path(question).read_text(encoding="utf-8"))
    try:
        found = JOBS[name](request)
    except Exception as error:  # pybind raises one type per kind of failure, with no common root
        found = {"error": " ".join(str(error).split())[:400]}
    Path(answer).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
