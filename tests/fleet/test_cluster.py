"""A Dask cluster: the same rows as processes give, workers that die, and a clear line where there is no Dask."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import graphmem
from graphmem.ir.errors import OptionError
from graphmem.ir.fleet import SweepProgress
from tests.fleet.conftest import mlp
from tests.fleet.test_sweep import GRID, timeless


def test_without_dask_the_scheduler_option_names_the_extra(
    fleet: Path, monkeypatch: pytest.MonkeyPatch, graphmem_command: Callable[..., object]
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    ended = graphmem_command("sweep", fleet, "--scheduler", "tcp://127.0.0.1:1")
    assert ended.code == 2  # type: ignore[attr-defined]
    assert ended.err == "graphmem: error: --scheduler needs dask.distributed: pip install 'graphmem[dask]'\n"  # type: ignore[attr-defined]
    assert len(list(graphmem.sweep(fleet, jobs=0))) == 4


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """A scheduler and two workers, as the two commands of docs/fleet.md start them; the scheduler's address."""
    pytest.importorskip("distributed", reason="NO CLUSTER TESTS: dask.distributed is not installed (extra `dask`)")
    file = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    dask = [sys.executable, "-m", "dask"]
    common = ["--scheduler-file", str(file)]
    here = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    with subprocess.Popen([*dask, "scheduler", *common, *here], **quiet) as scheduler:  # type: ignore[call-overload]
        workers = [*dask, "worker", *common, "--nworkers", "2", "--nthreads", "1", "--no-dashboard"]
        with subprocess.Popen([*workers, "--local-directory", str(tmp_path)], **quiet) as worker:  # type: ignore[call-overload]
            try:
                deadline = time.monotonic() + 30
                while not file.exists() and time.monotonic() < deadline:
                    time.sleep(0.05)
                import json

                yield json.loads(file.read_text())["address"]
            finally:
                for process in (worker, scheduler):
                    os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.filterwarnings("ignore")  # of Dask's own threads and sockets
def test_a_cluster_gives_the_rows_that_processes_give_even_when_a_worker_is_killed(fleet: Path, cluster: str) -> None:
    for width in range(40, 80):
        mlp(fleet / f"z{width}.onnx", width)
    local = timeless(list(graphmem.sweep(fleet, GRID, jobs=0)))
    assert timeless(list(graphmem.sweep(fleet, GRID, cluster))) == local
    import distributed

    with distributed.Client(cluster, set_as_default=False) as client:
        victims = sorted(client.run(os.getpid).values())

        def kill(state: SweepProgress) -> None:
            if state.done and len(victims) == 2:
                os.kill(victims.pop(), signal.SIGKILL)

        assert timeless(list(graphmem.sweep(fleet, GRID, cluster, progress=kill))) == local
        assert len(victims) == 1


@pytest.mark.filterwarnings("ignore")
def test_no_cluster_at_the_address_is_one_line(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="NO CLUSTER TESTS: dask.distributed is not installed (extra `dask`)")
    monkeypatch.setattr("graphmem.fleet.cluster.PATIENCE", 1)
    with pytest.raises(OptionError, match="no Dask cluster at 'tcp://127"):
        graphmem.sweep(fleet, GRID, "tcp://127.0.0.1:9")
