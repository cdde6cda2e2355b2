"""`graphmem checkpoint`: which values to keep, at a budget or along the whole frontier: parse, call, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graphmem.cli.options import Finite, parsed_size, reading_options, step_options
from graphmem.cli.output import columns, deliver, end, format_option, is_json, output_option, refuse
from graphmem.ir.errors import OptionError
from graphmem.ir.keywords import FrontierKeywords

if TYPE_CHECKING:
    from graphmem.ir.recompute import Frontier, ModelFrontier, Recompute

FORMS = ("torch", "sac", "hf", "jax")
PROBLEM_SECONDS = 60.0


@click.command()
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option("--problem", type=click.Path(path_type=Path), help="A JSON problem instead (docs/checkpointing.md).")
@click.option("--keep-order", is_flag=True, help="First computations follow the problem's order.")
@click.option("--budget", callback=parsed_size, metavar="SIZE", help="Peak allowed, such as 4GiB.")
@click.option("--ratio", type=Finite(0, 1, min_open=True), help="The same, as a part of the keep-all peak.")
@click.option("--frontier", is_flag=True, help="All trade-offs from keep-all down to the least peak found.")
@click.option(
    "--timeout",
    type=Finite(0, min_open=True),
    metavar="S",
    help="Seconds; then the best so far. Default: 60 for a problem; for a MODEL none, and no search for proofs.",
)
@click.option("--emit", type=click.Choice(FORMS), help="Print what to paste, for a budget.")
@format_option
@output_option
@step_options(FrontierKeywords)
@reading_options
def checkpoint(
    model: Path | None,
    problem: Path | None,
    keep_order: bool,
    budget: int | None,
    ratio: float | None,
    frontier: bool,
    timeout: float | None,
    emit: str | None,
    format_: str | None,
    output: Path | None,
    **step: Any,
) -> None:
    """What a training step of MODEL keeps and computes again, so that it fits a budget at the least extra compute."""
    if (model is None) == (problem is None):
        raise click.UsageError("give a MODEL, or --problem FILE")
    if [budget is not None, ratio is not None, frontier].count(True) != 1:
        raise click.UsageError("give one of --budget SIZE, --ratio R and --frontier")
    if emit and (frontier or problem):
        raise click.UsageError("--emit goes with a MODEL and a --budget or --ratio")
    as_json, width = is_json(format_, output), columns()
    if problem is not None:
        from graphmem.report.frontier import checkpoint_json, checkpoint_text

        answer = _answer(_read(problem, keep_order), budget, ratio, timeout or PROBLEM_SECONDS)
        deliver(checkpoint_json(answer, all_names=True) if as_json else checkpoint_text(answer, width), output)
        return
    assert model is not None
    found = _of_model(model, budget, ratio, timeout, step)
    deliver(_shown(found, emit, as_json, width), output, model)
    end(step["strict"], found.exactness == "exact")


def _of_model(
    model: Path, budget: int | None, ratio: float | None, timeout: float | None, step: dict[str, Any]
) -> ModelFrontier:
    from graphmem.api.checkpoint_frontier import checkpoint_frontier

    found = checkpoint_frontier(model, budget=budget, ratio=ratio, timeout=timeout, progress=_progress, **step)
    if not found.wraps and not found.operations.points:
        refuse(_why_none(found))
    return found


def _why_none(found: ModelFrontier) -> str:
    """Why no plan fits, and what is in the way."""
    from graphmem.report.units import size

    assert found.budget is not None
    ways = "; ".join(f"{o.what} {size(o.nbytes)}" for o in found.obstacles[:4])
    floor = found.operations.floor
    proof = f"; {floor:,} bytes are proved necessary" if found.budget < floor else ""
    advice = f"; {found.advice}" if found.advice else ""
    least = f"the least peak reached is {found.least:,} bytes{proof}"
    return f"no plan fits {found.budget:,} bytes: {least}. Alive there: {ways}{advice}"


def _shown(found: ModelFrontier, emit: str | None, as_json: bool, width: int) -> str:
    if emit:
        from graphmem.report.checkpoint_code import code

        fits = [p for p in found.wraps if emit == "sac" or p.grain == "module"]
        if emit in ("torch", "sac") and not fits:
            refuse(
                f"no plan of {'whole ' if emit == 'torch' else ''}modules fits {found.budget:,} bytes; "
                f"the least peak of plans of modules is {found.least_wrapped:,}"
            )
        return code(found, emit)
    from graphmem.report.frontier import model_frontier_json, model_frontier_text

    return model_frontier_json(found) if as_json else model_frontier_text(found, width)


def _read(problem: Path, keep_order: bool) -> Recompute:
    from graphmem.checkpoint.problem_file import parsed

    try:
        text = problem.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"'{problem}' cannot be read: {error}") from error
    return parsed(text, str(problem), keep_order)


def _answer(question: Recompute, budget: int | None, ratio: float | None, timeout: float) -> Frontier:
    from graphmem.checkpoint.solve import Search, budget_of, deadline_after
    from graphmem.ir.recompute import Impossible, Unreached

    search = Search(question, deadline_after(timeout), progress=_progress)
    if budget is None and ratio is None:
        return search.frontier()
    allowed = budget if budget is not None else budget_of(question, ratio or 0.0)
    point = search.point(allowed)
    if isinstance(point, Impossible):
        name = question.operations[point.operation].name
        refuse(f"{allowed:,} bytes are impossible: operation '{name}' alone needs {point.floor:,} (proved)")
    if isinstance(point, Unreached):
        refuse(
            f"no course within {allowed:,} bytes was found; the least peak found is {point.least.peak:,} bytes, "
            f"and {point.floor:,} are proved necessary"
        )
    return search.as_frontier([point])


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(text, err=True)
