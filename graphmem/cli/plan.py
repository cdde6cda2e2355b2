"""`graphmem plan`: lay the buffers of a model, or of a file of lifetimes, out in one arena."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import click

from graphmem.ir.errors import GraphmemError, OptionError
from graphmem.ir.memory import Plan
from graphmem.planner import Options
from graphmem.planner import plan as planned
from graphmem.planner.table import Table, table_of, table_text
from graphmem.report.plan_c import plan_header
from graphmem.report.plan_json import plan_json
from graphmem.report.plan_table import plan_table

FITS_NOT, WRONG = 1, 2
FORMATS: dict[str, Callable[[Plan], str]] = {"json": plan_json, "csv": table_text, "c": plan_header}
POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def size(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    """Bytes of a number, or of a text like 512KiB (units of 1024) or 512KB (of 1000); a usage error for all else."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", text, re.IGNORECASE)
    if not match:
        raise click.BadParameter(f"{text!r} is not a size; write bytes, or like 512KiB or 2GB", ctx, param)
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** POWERS[unit.upper()]) if unit else int(float(number))


def model_table(model: str) -> Table:
    """The lifetimes of a model's tensors."""
    import graphmem

    return Table(graphmem.analyze(model).lifetimes)


@click.command()
@click.argument("model", required=False)
@click.option("--lifetimes", type=click.Path(exists=True, dir_okay=False), help="CSV of id,lower,upper,size rows.")
@click.option(
    "--capacity", callback=size, metavar="SIZE", help="Bytes that the arena must fit in; exit code 1 if it does not."
)
@click.option("--alignment", type=click.IntRange(1, 4096), help="Of every offset; default 64, with a CSV 1.")
@click.option("--timeout", type=click.FloatRange(0), default=60.0, show_default=True, help="Seconds.")
@click.option("--format", "form", type=click.Choice(["table", *FORMATS]), default="table", show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write here instead of to the screen.")
def plan(
    model: str | None,
    lifetimes: str | None,
    capacity: int | None,
    alignment: int | None,
    timeout: float,
    form: str,
    output: str | None,
) -> None:
    """Place every buffer of MODEL, or of --lifetimes FILE.csv, in the least memory, with a proved bound."""
    if (model is None) == (lifetimes is None):
        raise click.UsageError("give either a MODEL or --lifetimes FILE.csv")
    try:
        table = table_of(_text(lifetimes)) if lifetimes else model_table(str(model))
        step = alignment or (1 if lifetimes else 64)
        result = planned(table.lifetimes, Options(step, table.alignments, capacity, table.fixed, timeout=timeout))
        text = FORMATS[form](result) if form in FORMATS else plan_table(result, capacity)
        _write(text, output)
    except GraphmemError as error:
        click.echo(f"graphmem: {error}", err=True)
        sys.exit(WRONG)
    if capacity is not None and result.arena > capacity:
        click.echo(f"graphmem: the arena of {result.arena} bytes does not fit in {capacity}", err=True)
        sys.exit(FITS_NOT)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{path!r} cannot be read as text: {error}") from error


def _write(text: str, output: str | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise OptionError(f"{output!r} cannot be written: {error}") from error
