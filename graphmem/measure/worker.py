"""`python -m graphmem.measure.worker JOB REQUEST ANSWER`: the process in which onnxruntime runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
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

    session(
        Path(request["model"]), Path(request["weights"]), SessionOptions(**request["options"]), Path(request["save"])
    )
    return {"version": onnxruntime.__version__}


@job
def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run on random inputs, several times under each set of options, with every aligned allocation recorded."""
    import onnxruntime

    from graphmem.measure.process import traced
    from graphmem.measure.session import random_inputs, session

    runs = []
    for options in request["options"]:
        made = session(Path(request["model"]), Path(request["weights"]), SessionOptions(**options))
        feeds = random_inputs(made, request["shapes"], request["seed"])
        runs.append([traced(partial(made.run, None, feeds)) for _ in range(request["repeats"])])
    return {"version": onnxruntime.__version__, "runs": runs}


@job
def count(request: dict[str, Any]) -> dict[str, Any]:
    """The same by the arena's own counters, which the profiler reads after every node."""
    import onnxruntime

    from graphmem.measure.runs import counters
    from graphmem.measure.session import random_inputs, session

    found = []
    for options in request["options"]:
        prefix = str(Path(request["model"]).parent / "profile")
        made = session(Path(request["model"]), Path(request["weights"]), SessionOptions(**options), profile=prefix)
        feeds = random_inputs(made, request["shapes"], request["seed"])
        for _ in range(request["repeats"]):
            made.run(None, feeds)
        found.append(counters(Path(made.end_profiling())))
    return {"version": onnxruntime.__version__, "runs": found}


@job
def compare(request: dict[str, Any]) -> dict[str, Any]:
    """Run two models on the same random inputs; the greatest difference of any output."""
    import numpy as np

    from graphmem.measure.session import random_inputs, session

    results = []
    for (model, weights), options in zip(request["models"], request["options"], strict=True):
        made = session(Path(model), Path(weights), SessionOptions(**options))
        results.append(made.run(None, random_inputs(made, request["shapes"], request["seed"])))
    same = all(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc") for a, b in zip(*results, strict=True))
    close = same or all(np.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True) for a, b in zip(*results, strict=True))
    return {"same": same, "close": close}


def _limit(seconds: int, nbytes: int) -> None:
    """What the process may take from here on; where the system knows no limits, there are none."""
    if find_spec("resource") is None:
        return
    import resource

    for kind, value in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, nbytes)):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def main(arguments: list[str]) -> None:
    """Do the job and write the answer; an error of onnxruntime's is an answer too."""
    name, question, answer = arguments
    request = json.loads(Path(question).read_text(encoding="utf-8"))
    if request.get("limits"):
        _limit(*request["limits"])
    try:
        found = JOBS[name](request)
    except Exception as error:  # pybind raises one type per kind of failure, with no common root
        found = {"error": " ".join(str(error).split())[:400]}
    Path(answer).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
