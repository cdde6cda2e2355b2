"""`graphmem sweep PATHS...`: parse, run, write rows as they come, and say at the end what came out.

SweepProgress -> stderr: a line that moves on a terminal, and now and then a line elsewhere.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from graphmem.cli.options import parsed_dims, size_option, step_options
from graphmem.cli.output import columns, deliver, end
from graphmem.fleet.axes import AXES
from graphmem.ir.fleet import SweepProgress
from graphmem.ir.keywords import SweepKeywords


def _axes_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """One option for each axis of the grid but the mode, which has --train and --inference."""
    for axis in reversed([axis for axis in AXES if axis.name != "mode"]):
        command = click.option(f"--{axis.name}", axis.name, metavar="A,B,...", multiple=True, help=axis.told)(command)
    return command


def _cpus() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@click.command()
@click.argument("paths", nargs=-1, required=True)
@_axes_options
@click.option("--train", "training", is_flag=True, help="A training step.")
@click.option("--inference", is_flag=True, help="A forward run; the default, or beside --train.")
@step_options(SweepKeywords)
@click.option(
    "--dim", "dims", metavar="NAME=N", multiple=True, callback=parsed_dims, help="Bind a dimension where there is one."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Results: .csv, .json or .parquet. Default: CSV on stdout."
)
@click.option("--report", type=click.Path(path_type=Path), help="Also an offline HTML page of the fleet.")
@click.option(
    "--baseline", type=click.Path(path_type=Path), help="An earlier results file; the report shows what changed."
)
@click.option(
    "--jobs", type=click.IntRange(min=1), default=_cpus, metavar="N", help="Processes. Default: one per processor."
)
@click.option("--scheduler", metavar="ADDRESS", help="Run on the Dask cluster whose scheduler is there.")
@size_option("--worker-memory", "Most memory of a local process. Default: its share of 80 % of the machine's.")
@click.option("--fresh", is_flag=True, help="Forget what earlier runs left in the journal beside the output.")
@click.option("--retry-failed", is_flag=True, help="Work out rows again that failed in an earlier run.")
@click.option("--strict", is_flag=True, help="Exit 3 when a row failed or is incomplete.")
def sweep(
    paths: tuple[str, ...],
    training: bool,
    inference: bool,
    output: Path | None,
    report: Path | None,
    baseline: Path | None,
    strict: bool,
    **how: Any,
) -> None:
    """The memory of many models at many settings: files, folders, globs, URLs or @FILE with one path a line.

    Every row is one model at one batch, precision, ... on one device. With -o, what is done is kept in a journal
    beside the output: run the same command again to go on after an end of any kind.
    """
    from graphmem.fleet.overview import overview
    from graphmem.fleet.results import check_results_path, csv_rows, read_results, results_file
    from graphmem.fleet.run import sweep as swept
    from graphmem.report.fleet import fleet_text
    from graphmem.report.page.fleet import fleet_html

    grid: dict[str, Any] = {axis.name: _values(how.pop(axis.name)) for axis in AXES if axis.name != "mode"}
    grid["mode"] = (["inference"] if inference or not training else []) + (["training"] if training else [])
    earlier = None if baseline is None else read_results(baseline)
    if output is not None:
        check_results_path(output)
    journal = None if output is None else output.with_name(output.name + ".journal")
    rows = []
    with ExitStack() as stack:
        progress = stack.enter_context(shown())
        found = swept(
            paths, {name: values for name, values in grid.items() if values}, journal=journal, progress=progress, **how
        )
        add = stack.enter_context(csv_rows(sys.stdout) if output is None else results_file(output))
        for row in found:
            add(row)
            rows.append(row)
    seen = overview(rows, earlier)
    if report is not None:
        deliver(fleet_html(rows, seen), report)
    said = fleet_text(seen, None if output is None else output.as_posix(), columns())
    click.echo(said, err=output is None)
    end(strict, all(row.complete for row in rows))


def _values(given: tuple[str, ...]) -> list[str]:
    """The values of a repeated option, each a list with commas."""
    return [part.strip() for text in given for part in text.split(",") if part.strip()]


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
