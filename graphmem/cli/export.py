"""`graphmem export MODEL --to VIEWER -o FILE`: parse, call, write."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from graphmem.cli.options import AskedStep, asked_step, inference_options, model_options
from graphmem.cli.output import deliver, file_option
from graphmem.cli.train import trained_on
from graphmem.ir.analysis import Analysis
from graphmem.ir.profile import Profile
from graphmem.ir.training import Training

OF_TRAINING = ("torch-snapshot", "trace", "speedscope", "csv")


@click.command()
@model_options
@partial(inference_options, has_runtime=True)
@asked_step
@click.option(
    "--to",
    "viewer",
    type=click.Choice(["torch-snapshot", "netron", "model-explorer", "speedscope", "trace", "csv", "onnx"]),
    required=True,
    help="What the file is for (docs/report.md).",
)
@file_option("The file to write.")
def export(
    model: Path,
    memory_model: str,
    order: str,
    step: AskedStep,
    viewer: str,
    output: Path,
    **reading: Any,
) -> None:
    """The analysis of MODEL as a file that a viewer opens, as CSV, or as notes inside a copy of the model.

    With --train a training step; its snapshot has the segments of PyTorch's caching allocator.
    """
    from graphmem.api.analyze import analyze
    from graphmem.cli.plan import arena_plan
    from graphmem.memory.profile import inference_profile

    if step.is_wanted:
        if viewer not in OF_TRAINING:
            raise click.UsageError(
                f"{viewer} shows the nodes of the model, and a training step has operators of its own; "
                f"take {', '.join(OF_TRAINING)}"
            )
        deliver(_exported_training(viewer, trained_on(model, {**step.keywords, **reading}, step.device)), output, model)
        return
    analysis = analyze(model, memory_model=memory_model, order=order, **reading)
    has_addresses = viewer in ("torch-snapshot", "csv")
    profile = inference_profile(analysis, arena_plan(analysis) if has_addresses else None)
    deliver(_exported(viewer, model, analysis, profile), output, model)


def _exported_training(viewer: str, training: Training) -> str | bytes:
    from graphmem.ir.version import __version__
    from graphmem.memory.training_profile import training_profile, training_replay
    from graphmem.report.exports import viewers
    from graphmem.report.exports.snapshot import replay_snapshot

    profile, name = training_profile(training), training.model.name
    if viewer == "torch-snapshot":
        assert training.details is not None
        return replay_snapshot(profile, training_replay(training, training.details))
    if viewer == "speedscope":
        return viewers.speedscope(profile, name, __version__)
    return viewers.trace(profile, name) if viewer == "trace" else viewers.lifetimes_csv(profile)


def _exported(viewer: str, model: Path, analysis: Analysis, profile: Profile) -> str | bytes:
    from graphmem.ir.version import __version__
    from graphmem.report.exports import notes, viewers
    from graphmem.report.exports.snapshot import snapshot

    name = analysis.model.name
    if viewer in ("model-explorer", "onnx"):
        from graphmem.reader.annotate import annotated, node_ids

        if viewer == "onnx":
            return annotated(model, notes.model_notes(analysis), notes.node_notes(profile))[0]
        return viewers.model_explorer(profile, *node_ids(model))
    if viewer == "torch-snapshot":
        return snapshot(profile)
    return {
        "netron": lambda: viewers.netron(profile),
        "speedscope": lambda: viewers.speedscope(profile, name, __version__),
        "trace": lambda: viewers.trace(profile, name),
        "csv": lambda: viewers.lifetimes_csv(profile),
    }[viewer]()
