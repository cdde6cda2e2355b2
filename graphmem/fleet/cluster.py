"""Tasks -> Outcomes on an existing Dask cluster: submit, wait; placing, retrying and moving work is Dask's own."""

from __future__ import annotations

import time
from typing import Any

from graphmem.fleet.work import Task, TaskFigures, outcome
from graphmem.ir.errors import OptionError

PER_THREAD = 2  # tasks under way per thread of the cluster: one runs while the next is on its way
ASK_AFTER = 2  # seconds
PATIENCE = 30  # seconds to wait for the scheduler and for a first worker


class DaskEngine:
    """The cluster whose scheduler is at `address`."""

    def __init__(self, address: str) -> None:
        try:
            import distributed
        except ImportError as error:
            raise OptionError("--scheduler needs dask.distributed: pip install 'graphmem[dask]'") from error
        self.address = address
        try:
            self.client: Any = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
            self.client.wait_for_workers(1, timeout=PATIENCE)
        except (OSError, ValueError, TimeoutError) as error:
            raise OptionError(
                f"no Dask cluster at '{address}' ({' '.join(str(error).split())[:160]}); "
                "start one with `dask scheduler` and `dask worker ADDRESS`"
            ) from error
        self.died = (distributed.scheduler.KilledWorker,)
        self.lost = (OSError, distributed.CancelledError)
        self.first_completed = distributed.wait
        self.running: dict[Any, Task] = {}
        self.threads, self.asked = 0, 0.0

    @property
    def width(self) -> int:
        """Tasks under way at once; the cluster is asked again now and then, as it may grow and shrink."""
        if time.monotonic() - self.asked > ASK_AFTER or not self.threads:
            self.threads, self.asked = sum(self.client.nthreads().values()), time.monotonic()
        return max(1, PER_THREAD * self.threads)

    @property
    def has_room(self) -> bool:
        """False while enough is under way to keep every worker busy."""
        return not self.running or len(self.running) < self.width

    def submit(self, task: Task) -> None:
        """Hand a task to the scheduler."""
        self.running[self.client.submit(outcome, task, pure=False)] = task

    def finished(self) -> list[tuple[Task, TaskFigures | None]]:
        """Wait for tasks to end; None for one that Dask gave up because its workers died again and again."""
        try:
            with self.client.as_current():
                done, _ = self.first_completed(list(self.running), return_when="FIRST_COMPLETED")
            found: list[tuple[Task, TaskFigures | None]] = []
            for future in done:
                task = self.running.pop(future)
                try:
                    found.append((task, future.result()))
                except self.died:
                    found.append((task, None))
            return found
        except self.lost as error:
            raise OptionError(
                f"the Dask cluster at '{self.address}' went away; what is done is kept, run the same command again"
            ) from error

    def close(self) -> None:
        """Take back what has not begun, and leave the cluster as it was."""
        for future in self.running:
            future.release()
        self.client.close()
