"""`graphmem checkpoint`: which values to keep, at a budget or along the whole frontier: parse, call, print."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from graphmem.cli.options import deliver, output_option, parsed_size
from graphmem.ir.errors import OptionError

if TYPE_CHECKING:
    from graphmem.ir.recompute import Frontier, Point, Recompute


@click.command()
@click.option(
    "--problem", type=click.Path(path_type=Path), required=True, help="A JSON problem (docs/checkpointing.md)."
)
@click.option("--keep-order", is_flag=True, help="First computations follow the problem's order.")
@click.option("--budget", callback=parsed_size, metavar="SIZE", help="Peak allowed, such as 4GiB.")
@click.option("--ratio", type=click.FloatRange(0, 1, min_open=True), help="The same, as a part of the keep-all peak.")
@click.option("--frontier", is_flag=True, help="All trade-offs from keep-all down to the least peak found.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="S",
    default=60.0,
    show_default=True,
    help="Seconds; then the best so far.",
)
@click.option("--format", "format_", type=click.Choice(["table", "json"]), default=None, help="Default: table.")
@output_option
def checkpoint(
    problem: Path,
    keep_order: bool,
    budget: int | None,
    ratio: float | None,
    frontier: bool,
    timeout: float | None,
    format_: str | None,
    output: Path | None,
) -> None:
    """Which values to keep and which to compute again, so that a training step fits at the least extra compute."""
    if [budget is not None, ratio is not None, frontier].count(True) != 1:
        raise click.UsageError("give one of --budget SIZE, --ratio R and --frontier")
    from graphmem.report.frontier import checkpoint_json, checkpoint_text

    found = _answer(_read(problem, keep_order), budget, ratio, timeout)
    by_suffix = "json" if output is not None and output.suffix == ".json" else "table"
    if (format_ or by_suffix) == "json":
        deliver(checkpoint_json(found, all_names=True), output)
    else:
        deliver(checkpoint_text(found, shutil.get_terminal_size().columns), output)


def _read(problem: Path, keep_order: bool) -> Recompute:
    from graphmem.checkpoint.problem_file import parsed

    try:
        text = problem.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"'{problem}' cannot be read: {error}") from error
    return parsed(text, str(problem), keep_order)


def _answer(question: Recompute, budget: int | None, ratio: float | None, timeout: float | None) -> Frontier:
    from graphmem.checkpoint.solve import Search, budget_of, deadline_after
    from graphmem.ir.recompute import Impossible, Unreached

    search = Search(question, deadline_after(timeout), progress=_progress)
    if budget is None and ratio is None:
        return search.frontier()
    allowed = budget if budget is not None else budget_of(question, ratio or 0.0)
    point = search.point(allowed)
    if isinstance(point, Impossible):
        name = question.operations[point.operation].name
        _refuse(f"{allowed:,} bytes are impossible: operation '{name}' alone needs {point.floor:,} (proved)")
    if isinstance(point, Unreached):
        _refuse(
            f"no course within {allowed:,} bytes was found; the least peak found is {point.least.peak:,} bytes, "
            f"and {point.floor:,} are proved necessary"
        )
    return search.as_frontier([_checked(point)])


def _checked(point: object) -> Point:
    from graphmem.ir.recompute import Point

    assert isinstance(point, Point)
    return point


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(text, err=True)


def _refuse(text: str) -> None:
    click.echo(f"graphmem: {text}", err=True)
    raise click.exceptions.Exit(1)
