"""SweepProgress -> stderr: a line that moves on a terminal, and now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from graphmem.ir.fleet import SweepProgress

EVERY = 10.0  # seconds between lines where there is no terminal


@contextmanager
def shown() -> Iterator[Callable[[SweepProgress], None]]:
    """A function to call with every change."""
    if sys.stderr.isatty():
        with _bar() as update:
            yield update
        return
    last = time.monotonic()
    latest = SweepProgress(0)

    def update_line(state: SweepProgress) -> None:
        nonlocal last, latest
        latest = state
        if time.monotonic() - last >= EVERY:
            last = time.monotonic()
            click.echo(line(state), err=True)

    try:
        yield update_line
    finally:
        if latest.rows:
            click.echo(line(latest), err=True)


@contextmanager
def _bar() -> Iterator[Callable[[SweepProgress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    with Progress(BarColumn(10), TextColumn("{task.description}"), console=Console(stderr=True)) as bar:
        task = bar.add_task("sweep", total=None)
        yield lambda state: bar.update(task, total=state.rows, completed=state.done, description=line(state))


def line(state: SweepProgress) -> str:
    """All of it in words: "1,200 of 3,192 rows, 24 failed, 300 from the journal, 95 rows/s, 21 s left"."""
    parts = [f"{state.done:,} of {state.rows:,} rows", f"{state.failed:,} failed"]
    parts += [f"{state.reused:,} known"] if state.reused else []
    if state.rate:
        parts.append(f"{state.rate:,.3g} rows/s")
    if state.eta is not None and state.done < state.rows:
        parts.append(f"{clock(state.eta)} left")
    elif state.elapsed:
        parts.append(f"in {clock(state.elapsed)}")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """Seconds as "4.5 s", "3 min 20 s" or "2 h 05 min"."""
    whole = round(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
