"""Analysis, Profile -> what an annotated ONNX file says: metadata of the model and of every node, under `graphmem.`."""

from __future__ import annotations

from graphmem.ir.analysis import Analysis
from graphmem.ir.profile import Profile


def model_notes(analysis: Analysis) -> dict[str, str]:
    """Figures of the whole model, bytes as plain integers."""
    run = analysis.inference
    return {
        "graphmem.memory_model": run.memory_model,
        "graphmem.order": run.order,
        "graphmem.exactness": analysis.exactness,
        "graphmem.weight_bytes": str(analysis.model.weight_bytes),
        "graphmem.activation_peak_bytes": str(run.peak),
        "graphmem.peak_step": str(run.peak_step),
        "graphmem.peak_node": run.peak_node,
    }


def node_notes(profile: Profile) -> dict[str, dict[str, str]]:
    """Step, live bytes and lives of the buffers written, by every tensor that the step's buffers start with."""
    notes: dict[str, dict[str, str]] = {}
    peak = profile.timeline.peak_step
    for number, step in enumerate(profile.schedule.steps):
        note = {"graphmem.step": str(number), "graphmem.live_bytes": str(int(profile.timeline.live[number]))}
        if number == peak:
            note["graphmem.peak"] = "true"
        for row in step.writes:
            tensor = profile.tensors[row]
            lives = {"graphmem.bytes": str(tensor.nbytes), "graphmem.life": f"{tensor.first_step}-{tensor.last_step}"}
            notes[tensor.tensor] = note | lives
    return notes
