"""`graphmem plan`: lay the buffers of a model, or of a file of lifetimes, out in one arena."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from graphmem.cli.options import Finite, inference_options, model_options, parsed_size
from graphmem.cli.output import deliver, output_option, refuse
from graphmem.ir.analysis import Analysis
from graphmem.ir.errors import OptionError
from graphmem.ir.execution import Execution
from graphmem.ir.memory import Plan

MODEL_ALIGNMENT = 64  # what runtimes and vector units want; files of lifetimes say their own


@click.command()
@partial(model_options, required=False)
@inference_options
@click.option("--lifetimes", type=click.Path(path_type=Path), help="CSV of id,lower,upper,size rows instead of MODEL.")
@click.option("--capacity", callback=parsed_size, metavar="SIZE", help="Exit code 1 if the arena does not fit in this.")
@click.option("--alignment", type=click.IntRange(1, 4096), help="Of every offset; default 64, with --lifetimes 1.")
@click.option("--timeout", type=Finite(0), default=60.0, show_default=True, help="Seconds.")
@click.option(
    "--execute", is_flag=True, help="Run MODEL in the arena, compare with an ordinary run; exit 1 if it differs."
)
@click.option("--format", "format_", type=click.Choice(["table", "json", "csv", "c"]), default="table")
@output_option
def plan(
    model: Path | None,
    memory_model: str,
    order: str,
    lifetimes: Path | None,
    capacity: int | None,
    alignment: int | None,
    timeout: float,
    execute: bool,
    format_: str,
    output: Path | None,
    **reading: Any,
) -> None:
    """Place every buffer of MODEL, or of --lifetimes FILE.csv, in the least memory, with a proved bound."""
    from graphmem.api.plan import execute as executed
    from graphmem.api.plan import plan as planned

    if (model is None) == (lifetimes is None):
        raise click.UsageError("give either a MODEL or --lifetimes FILE.csv")
    if execute and model is None:
        raise click.UsageError("--execute needs a MODEL; lifetimes alone cannot be run")
    execution = None
    if model is not None:
        options: dict[str, Any] = {
            "memory_model": memory_model,
            "order": order,
            "alignment": alignment or MODEL_ALIGNMENT,
            "capacity": capacity,
            "timeout": timeout,
            **reading,
        }
        if execute:
            made, execution = executed(model, **options)
        else:
            made = planned(model, **options)
    else:
        assert lifetimes is not None
        made = _plan_of_rows(lifetimes, alignment or 1, capacity, timeout)
    deliver(_text(made, execution, format_, capacity), output)
    _judge(made, execution, capacity)


def _judge(made: Plan, execution: Execution | None, capacity: int | None) -> None:
    """Exit with 1 where the arena does not fit or its execution went wrong."""
    if capacity is not None and made.arena > capacity:
        refuse(f"the arena of {made.arena} bytes does not fit in {capacity}")
    if execution is not None and not execution.is_faithful:
        refuse("the execution inside the arena is not that of an ordinary run")


def arena_plan(analysis: Analysis, timeout: float = 5.0) -> Plan | None:
    """A plan for a picture of the analysis, found in a few seconds; None where a tensor's size is not known."""
    from graphmem.planner import Options
    from graphmem.planner import plan as planned

    if analysis.exactness == "at least":
        return None
    return planned(analysis.inference.lifetimes, Options(alignment=MODEL_ALIGNMENT, timeout=timeout))


def _plan_of_rows(path: Path, alignment: int, capacity: int | None, timeout: float) -> Plan:
    from graphmem.planner import Options
    from graphmem.planner import plan as planned
    from graphmem.planner.table import table_of

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"'{path}' cannot be read as text: {error}") from error
    table = table_of(text)
    return planned(table.lifetimes, Options(alignment, table.alignments, capacity, table.fixed, timeout=timeout))


def _text(plan: Plan, execution: Execution | None, format_: str, capacity: int | None) -> str:
    from graphmem.planner.table import table_text
    from graphmem.report.plan import execution_text, plan_header, plan_json, plan_table

    if format_ == "json":
        return plan_json(plan, execution).rstrip("\n")
    if format_ != "table":
        return {"csv": table_text, "c": plan_header}[format_](plan).rstrip("\n")
    table = plan_table(plan, capacity)
    return table if execution is None else f"{execution_text(execution)}\n{table}"
