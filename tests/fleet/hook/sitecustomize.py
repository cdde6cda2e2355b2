"""Put on the path of worker processes by the tests: writes down every model that a worker opens, and dies of some.

SWEEP_LOG names the file to write to. A worker that opens "poison.onnx" is killed; "dies-once.onnx" kills the first.
"""

import os
import signal
import sys
from pathlib import Path

LOG = os.environ.get("SWEEP_LOG")


def hook(event: str, arguments: tuple[object, ...]) -> None:
    path = arguments[0] if event == "open" and arguments else None
    if not isinstance(path, str) or not path.endswith(".onnx"):
        return
    name = os.path.basename(path)  # noqa: PTH119 - pathlib is not to be touched while it opens
    log = os.open(str(LOG), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"{name}\n".encode())
    os.close(log)
    if name == "poison.onnx" or (name == "dies-once.onnx" and Path(str(LOG)).read_text().count(name) == 1):
        os.kill(os.getpid(), signal.SIGKILL)


if LOG and "--multiprocessing-fork" in sys.orig_argv:
    sys.addaudithook(hook)
