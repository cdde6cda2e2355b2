"""Tasks -> Outcomes on this machine: on fresh processes (spawn) of concurrent.futures, or in this very process.

A worker's memory is bounded twice. RLIMIT_DATA (Linux) lets an allocation beyond the limit fail inside the worker,
which makes an error row of it; and after RECYCLE tasks per worker all of them are replaced, so that nothing adds up.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import types
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from graphmem.fleet.work import Task, TaskFigures, outcome

RECYCLE = 500
SHARE = 0.8  # of the machine's memory that all workers together may have


def default_memory(jobs: int) -> int | None:
    """Bytes for each of `jobs` workers, or None where the machine does not say what it has."""
    try:
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * SHARE) // jobs
    except (AttributeError, ValueError, OSError):
        return None


class InlineEngine:
    """This process, one task after another: nothing to start, but memory is not bounded and a crash is everybody's."""

    def __init__(self) -> None:
        self.running: dict[int, Task] = {}
        self.taken = 0

    @property
    def has_room(self) -> bool:
        """True while nothing waits."""
        return not self.running

    def submit(self, task: Task) -> None:
        """Take a task."""
        self.taken += 1
        self.running[self.taken] = task

    def finished(self) -> list[tuple[Task, TaskFigures | None]]:
        """Do one."""
        task = self.running.pop(min(self.running))
        return [(task, outcome(task))]

    def close(self) -> None:
        """Nothing is held."""


class LocalEngine:
    """`jobs` processes, each with at most `memory` bytes of data; workers that died are replaced."""

    def __init__(self, jobs: int, memory: int | None = None) -> None:
        self.width = jobs
        self.memory = memory if memory is not None else default_memory(jobs)
        self.pool: ProcessPoolExecutor | None = None
        self.running: dict[Future[TaskFigures], Task] = {}
        self.taken = 0

    def submit(self, task: Task) -> None:
        """Start a task; never more than `width` at once."""
        if self.taken >= RECYCLE * self.width and not self.running:
            self._stop()
        if self.pool is None:
            context = multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(self.width, context, initializer=prepare, initargs=(self.memory,))
            self.taken = 0
        self.taken += 1
        try:
            with _without_main():
                future = self.pool.submit(outcome, task)
        except BrokenProcessPool as error:  # a worker died while it was idle
            future = Future()
            future.set_exception(error)
        self.running[future] = task

    @property
    def has_room(self) -> bool:
        """False while every worker is busy, or while they are to be replaced."""
        return len(self.running) < self.width and (self.taken < RECYCLE * self.width or not self.running)

    def finished(self) -> list[tuple[Task, TaskFigures | None]]:
        """Wait for tasks to end; None for one whose worker died, or died with that of another task."""
        done, _ = wait(self.running, return_when=FIRST_COMPLETED)
        found: list[tuple[Task, TaskFigures | None]] = []
        for future in done:
            task = self.running.pop(future)
            try:
                found.append((task, future.result()))
            except BrokenProcessPool:
                found.append((task, None))
        if any(result is None for _, result in found):
            found += [(task, None) for task in self.running.values()]
            self.running.clear()
            self._stop()
        return found

    def _stop(self) -> None:
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)
            self.pool = None

    def close(self) -> None:
        """End the workers, whatever they do."""
        if self.pool is None:
            return
        if self.running:
            for process in list((getattr(self.pool, "_processes", None) or {}).values()):
                process.terminate()
        self._stop()


def prepare(memory: int | None) -> None:
    """Bound this worker's memory, leave the keyboard to the parent, and end when the parent does."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if memory is None or not sys.platform.startswith("linux"):
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _end_with_parent() -> None:
    """A parent that was killed cannot end its workers, and they hold both ends of its pipes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the caller's main module, so that workers do not run a script again that lacks `if __name__ == ...`."""
    held = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = held
