"""`graphmem check [MODEL] --max-peak SIZE ...`: parse, call, print, and exit 1 when a gate fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graphmem.cli.options import AskedStep, asked_step, inference_options, prune_option, reading_options, size_option
from graphmem.cli.output import deliver, end, fail, output_option
from graphmem.cli.train import trained_on
from graphmem.ir.gate import Gate

if TYPE_CHECKING:
    from graphmem.fitting.gates import Checked, Figures


@click.command()
@click.argument("models", metavar="[MODEL]...", nargs=-1, type=click.Path(path_type=Path))
@reading_options
@partial(inference_options, has_runtime=True)
@size_option("--max-peak", "Most bytes of weights and activations at the peak.")
@size_option("--max-activations", "Most bytes of activations at the peak.")
@size_option("--max-weights", "Most bytes of weights.")
@size_option("--max-arena", "Most bytes of the arena that `graphmem plan` packs the activations into.")
@size_option("--max-train-peak", "Most bytes at the peak of a training step.")
@prune_option
@asked_step
@click.option(
    "--min-batch",
    type=click.IntRange(1),
    metavar="N",
    help="A batch at which the limits of --device, --max-peak and --max-train-peak must hold too.",
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    help="An earlier model, or the JSON of an earlier `analyze`, whose peak must not be exceeded.",
)
@click.option("--max-increase", default="0", metavar="PART", help="How far above the baseline is allowed, such as 2%.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("pyproject.toml"),
    show_default=True,
    help="Without MODEL: where [[tool.graphmem.models]] sets paths and limits.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "github", "junit", "sarif", "markdown"]),
    default="text",
    show_default=True,
    help="What to print.",
)
@output_option
def check(
    models: tuple[Path, ...],
    memory_model: str,
    order: str,
    max_peak: int | None,
    max_activations: int | None,
    max_weights: int | None,
    max_arena: int | None,
    max_train_peak: int | None,
    step: AskedStep,
    min_batch: int | None,
    baseline: Path | None,
    max_increase: str,
    config: Path,
    format_: str,
    output: Path | None,
    **reading: Any,
) -> None:
    """Hold MODELs against limits, or those of pyproject.toml against theirs; exit 1 when one needs more.

    --device NAME asks whether inference fits that card, or with --train, or any option of a training step, training.
    """
    from graphmem.fitting.gates import Checked, Limits, configured, fraction, gates, peak_gates
    from graphmem.report.gates import GATE_FORMATS

    limits = Limits(
        max_peak=max_peak,
        max_activations=max_activations,
        max_weights=max_weights,
        max_arena=max_arena,
        max_train_peak=max_train_peak,
        device=step.device,
        min_batch=min_batch,
        increase=fraction(max_increase),
    )
    if models:
        is_training = step.is_wanted or max_train_peak is not None
        asked = step.keywords if is_training else None
        wanted: tuple[Checked, ...] = tuple(Checked(path, reading, limits, baseline, asked) for path in models)
    else:
        wanted = configured(config, reading, limits, step.keywords)
        if step.is_wanted:
            wanted = tuple(replace(one, step=one.step or step.keywords) for one in wanted)
    found: list[Gate] = []
    is_complete = True
    for one in wanted:
        if one.limits.min_batch is not None and not one.limits.has_peak:
            raise click.UsageError("--min-batch needs a limit to hold: --device, --max-peak or --max-train-peak")
        figures = _figures(one, memory_model, order, one.reading)
        is_complete &= figures.analysis.is_complete and (figures.training is None or figures.training.is_complete)
        peak = None if one.baseline is None else _baseline_peak(one, one.baseline, memory_model, order)
        name, own = one.path.as_posix(), replace(one.limits, baseline=peak)
        found += gates(figures, name, own)
        if own.min_batch is not None:
            at_batch = _figures(one, memory_model, order, {**one.reading, "batch": own.min_batch})
            found += peak_gates(at_batch, name, own, own.min_batch)
    if not found:
        raise click.UsageError(
            "no limit to check; give --max-peak, --max-train-peak, --device, --baseline or another (--help lists them)"
        )
    deliver(GATE_FORMATS[format_](found), output)
    if not all(gate.passes for gate in found):
        fail()
    end(reading["strict"], is_complete)


def _figures(one: Checked, memory_model: str, order: str, reading: Mapping[str, Any]) -> Figures:
    """What the limits of a model are held against, nothing more."""
    from graphmem.api.analyze import analyze
    from graphmem.cli.plan import arena_plan
    from graphmem.fitting.gates import Figures
    from graphmem.fitting.probe import run_need

    analysis = analyze(one.path, memory_model=memory_model, order=order, **reading)
    plan = arena_plan(analysis) if one.limits.max_arena is not None else None
    if one.step is not None:
        return Figures(analysis, plan, trained_on(one.path, {**one.step, **reading}, one.limits.device))
    if one.limits.device is None:
        return Figures(analysis, plan)
    return Figures(analysis, plan, run=run_need(one.path, one.limits.device, **reading))


def _baseline_peak(one: Checked, path: Path, memory_model: str, order: str) -> int:
    """Peak with weights of an earlier model or of its JSON."""
    import json

    from graphmem.api.analyze import analyze

    if path.suffix != ".json":
        earlier = analyze(path, memory_model=memory_model, order=order, **one.reading)
        return earlier.peak_with_weights
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return int(document["model"]["weight_bytes"]) + int(document["inference"]["activation_peak_bytes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise click.UsageError(
            f"'{path}' is not the JSON of an analysis; write it with `graphmem analyze MODEL --format json`"
        ) from error
