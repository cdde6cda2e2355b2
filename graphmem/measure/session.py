"""Options -> an onnxruntime session on the CPU; runs inside the worker process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graphmem.ir.runtime import SessionOptions

_LEVELS = {
    "off": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


def session(model: Path, weights: Path, options: SessionOptions, save: Path | None = None, profile: str = "") -> Any:
    """A CPU session on one thread; with `save` it also writes the optimized graph there, in ORT format."""
    import onnxruntime

    asked = onnxruntime.SessionOptions()
    asked.log_severity_level = 4
    asked.intra_op_num_threads = 1
    asked.inter_op_num_threads = 1
    asked.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, _LEVELS[options.optimization])
    asked.enable_mem_reuse = options.reuse
    asked.enable_mem_pattern = options.pattern
    asked.enable_cpu_mem_arena = options.arena
    if options.execution_order == "priority":
        asked.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    if save is not None:
        asked.optimized_model_filepath = str(save)
        asked.add_session_config_entry("session.save_model_format", "ORT")
        asked.add_session_config_entry("session.disable_prepacking", "1")
    if profile:
        asked.enable_profiling = True
        asked.profile_file_prefix = profile
    providers = ["CPUExecutionProvider"]
    if weights == model.parent:
        return onnxruntime.InferenceSession(str(model), asked, providers=providers)
    asked.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights))
    return onnxruntime.InferenceSession(model.read_bytes(), asked, providers=providers)


def random_inputs(session: Any, shapes: dict[str, list[int]], seed: int) -> dict[str, Any]:
    """Seeded inputs: uniform numbers in [0, 1); integers and strings are 0 or 1, indices of any table of two."""
    import numpy as np

    generator = np.random.default_rng(seed)
    feeds = {}
    for row in session.get_inputs():
        shape = shapes.get(row.name) or [dim if isinstance(dim, int) else 1 for dim in row.shape]
        kind = row.type.removeprefix("tensor(").removesuffix(")")
        if kind == "string":
            feeds[row.name] = generator.integers(0, 2, shape).astype(str).astype(object)
            continue
        dtype = np.dtype({"float": "float32", "double": "float64"}.get(kind, kind))
        if dtype.kind == "f":
            feeds[row.name] = np.asarray(generator.random(shape)).astype(dtype)
        else:
            feeds[row.name] = np.asarray(generator.integers(0, 2, shape)).astype(dtype)
    return feeds
