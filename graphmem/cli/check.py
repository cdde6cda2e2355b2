"""`graphmem check [MODEL] --max-peak SIZE ...`: parse, call, print, and exit 1 when a gate fails."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from graphmem.cli.options import deliver, inference_options, output_option, reading_options, size_option
from graphmem.fitting.gates import Checked
from graphmem.ir.gate import Gate


@click.command()
@click.argument("models", metavar="[MODEL]...", nargs=-1, type=click.Path(path_type=Path))
@reading_options
@partial(inference_options, has_runtime=True)
@size_option("--max-peak", "Most bytes of weights and activations at the peak.")
@size_option("--max-activations", "Most bytes of activations at the peak.")
@size_option("--max-weights", "Most bytes of weights.")
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
    baseline: Path | None,
    max_increase: str,
    config: Path,
    format_: str,
    output: Path | None,
    **reading: Any,
) -> None:
    """Hold MODELs against limits, or those of pyproject.toml against theirs; exit 1 when one needs more."""
    import graphmem
    from graphmem.fitting.gates import Limits, configured, fraction, gates
    from graphmem.report.gates import GATE_FORMATS

    limits = Limits(max_peak, max_activations, max_weights, increase=fraction(max_increase))
    if models:
        wanted: tuple[Checked, ...] = tuple(Checked(path, reading, limits, baseline) for path in models)
    else:
        wanted = configured(config, reading)
    found: list[Gate] = []
    is_complete = True
    for one in wanted:
        analysis = graphmem.analyze(one.path, memory_model=memory_model, order=order, **one.reading)
        is_complete &= analysis.is_complete
        peak = None if one.baseline is None else _baseline_peak(one, one.baseline, memory_model, order)
        found += gates(analysis, one.path.as_posix(), replace(one.limits, baseline=peak))
    if not found:
        raise click.UsageError("no limit to check; give --max-peak, --max-activations, --max-weights or --baseline")
    deliver(GATE_FORMATS[format_](found), output)
    if not all(gate.passes for gate in found):
        raise click.exceptions.Exit(1)
    if reading["strict"] and not is_complete:
        raise click.exceptions.Exit(3)


def _baseline_peak(one: Checked, path: Path, memory_model: str, order: str) -> int:
    """Peak with weights of an earlier model or of its JSON."""
    import json

    import graphmem

    if path.suffix != ".json":
        earlier = graphmem.analyze(path, memory_model=memory_model, order=order, **one.reading)
        return earlier.peak_with_weights
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return int(document["model"]["weight_bytes"]) + int(document["inference"]["activation_peak_bytes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise click.UsageError(
            f"'{path}' is not the JSON of an analysis; write it with `graphmem analyze MODEL --format json`"
        ) from error
