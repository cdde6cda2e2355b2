"""graphmem: the exact memory of an exported ONNX model, without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphmem.analysis import analyze
    from graphmem.arena import execute, plan, plan_lifetimes
    from graphmem.fitting.answer import fit
    from graphmem.fleet.run import sweep
    from graphmem.ir.analysis import Analysis
    from graphmem.ir.errors import GraphmemError
    from graphmem.ir.fit import Fit
    from graphmem.ir.training import Training
    from graphmem.training import train

__version__ = "0.1.0"

__all__ = [
    "Analysis",
    "Fit",
    "GraphmemError",
    "Training",
    "__version__",
    "analyze",
    "execute",
    "fit",
    "plan",
    "plan_lifetimes",
    "sweep",
    "train",
]

_HOME = {
    "analyze": "graphmem.analysis",
    "execute": "graphmem.arena",
    "fit": "graphmem.fitting.answer",
    "plan": "graphmem.arena",
    "plan_lifetimes": "graphmem.arena",
    "Analysis": "graphmem.ir.analysis",
    "Fit": "graphmem.ir.fit",
    "GraphmemError": "graphmem.ir.errors",
    "Training": "graphmem.ir.training",
    "sweep": "graphmem.fleet.run",
    "train": "graphmem.training",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import graphmem` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'graphmem' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
