"""python -m tests.fuzz --count 100000 --start 0: read that many damaged files; print tracebacks and hangs.

Each file is written, read with `graphmem.analyze` and reported on, in one process with a watchdog of 10 s and at most
4 GiB of memory; a process that dies is replaced and its file counted. Of the files whose figures are printed as
complete, every `--second-opinion`th is given to onnx.checker and to onnxruntime; what they refuse is listed for review.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import onnx

import graphmem
from graphmem.ir.errors import InputError
from graphmem.report.analysis import analysis_json, analysis_text
from tests.fuzz.mutations import mutated
from tests.oracle.node_cases import baked, node_cases

LARGEST_SEED = 60_000
LIMIT_SECONDS = 10
LIMIT_BYTES = 4 << 30


def seeds() -> list[bytes]:
    """The models of this repository, and ONNX's node cases with their parameters baked, below 60 kB each."""
    files = [path.read_bytes() for path in sorted((Path(__file__).parents[2] / "models").glob("*.onnx"))]
    files += [baked(case, keeps_outputs=True).SerializeToString() for case in node_cases()]
    return [data for data in files if len(data) <= LARGEST_SEED]


def outcome(path: Path) -> str:
    """What graphmem says of the file: a kind of figures, or "refused"."""
    try:
        analysis = graphmem.analyze(path)
    except InputError as error:
        return "more than one line" if "\n" in str(error) else "refused"
    analysis_text(analysis, width=80, color=False)
    analysis_json(analysis, tensors=True, timeline=True)
    return analysis.exactness


def second_opinion(path: Path) -> str:
    """Why onnx.checker or onnxruntime refuses the file; "" when both take it."""
    import onnxruntime

    try:
        onnx.checker.check_model(onnx.load(path, load_external_data=False))
    except Exception as error:
        return f"checker: {' '.join(str(error).split())[:160]}"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    except Exception as error:
        text = " ".join(str(error).split())
        return "" if "NOT_IMPLEMENTED" in text else f"onnxruntime: {text[:200]}"
    return ""


def work(files: list[bytes], first: int, last: int, every: int, log: Path, progress: Path) -> None:
    """Read the files first..last-1, one line of the log for each that is worth one."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    counts: Counter[str] = Counter()
    path = progress.with_suffix(".onnx")
    complete = 0
    with log.open("a") as lines:
        for number in range(first, last):
            progress.write_text(str(number))
            path.write_bytes(mutated(files, number))
            signal.alarm(LIMIT_SECONDS)
            try:
                found = outcome(path)
            except Exception:
                found = "traceback"
                lines.write(f"TRACEBACK {number}\n{traceback.format_exc(limit=-4)}\n")
            signal.alarm(0)
            counts[found] += 1
            complete += found == "exact"
            if found == "exact" and every and complete % every == 0:
                signal.alarm(LIMIT_SECONDS * 3)
                why = second_opinion(path)
                signal.alarm(0)
                counts["second opinions"] += 1
                if why:
                    counts["disputed"] += 1
                    lines.write(f"DISPUTED {number} {why}\n")
        lines.write(f"COUNTS {dict(counts)}\n")


def main() -> None:
    """Parse, fork, restart what dies, print what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--second-opinion", type=int, default=10)
    options = parser.parse_args()
    files = seeds()
    print(f"{len(files)} seed files")
    began, number, last = time.monotonic(), options.start, options.start + options.count
    with tempfile.TemporaryDirectory() as folder:
        log, progress = Path(folder) / "log", Path(folder) / "at"
        while number < last:
            process = os.fork()
            if process == 0:
                try:
                    work(files, number, min(number + 2_000, last), options.second_opinion, log, progress)
                    os._exit(0)
                finally:
                    os._exit(1)
            _, status = os.waitpid(process, 0)
            if status == 0:
                number = min(number + 2_000, last)
            else:
                number = int(progress.read_text()) + 1
                print(f"DIED on {number - 1}: signal {status & 127} (14 is the watchdog)", flush=True)
        text = log.read_text()
    print(text)
    print(f"{options.count} files in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
