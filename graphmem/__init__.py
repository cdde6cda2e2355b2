"""graphmem: the exact memory of an exported ONNX model, without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphmem.analysis import analyze
    from graphmem.arena import execute, plan, plan_lifetimes
    from graphmem.checkpointing import checkpoint_frontier
    from graphmem.fitting.answer import fit
    from graphmem.fleet.run import sweep
    from graphmem.ir.analysis import Analysis
    from graphmem.ir.errors import GraphmemError
    from graphmem.ir.fit import Fit
    from graphmem.ir.ranks import Ranked
    from graphmem.ir.training import Training
    from graphmem.ranks import train_ranks
    from graphmem.training import train

__version__ = "0.1.0"

__all__ = [
    "Analysis",
    "Fit",
    "GraphmemError",
    "Ranked",
    "Training",
    "__version__",
    "analyze",
    "checkpoint_frontier",
    "execute",
    "fit",
    "plan",
    "plan_lifetimes",
    "sweep",
    "train",
    "train_ranks",
]

_HOME = {
    "analyze": "graphmem.analysis",
    "checkpoint_frontier": "graphmem.checkpointing",
    "execute": "graphmem.arena",
    "fit": "graphmem.fitting.answer",
    "plan": "graphmem.arena",
    "plan_lifetimes": "graphmem.arena",
    "Analysis": "graphmem.ir.analysis",
    "Fit": "graphmem.ir.fit",
    "GraphmemError": "graphmem.ir.errors",
    "Ranked": "graphmem.ir.ranks",
    "Training": "graphmem.ir.training",
    "sweep": "graphmem.fleet.run",
    "train": "graphmem.training",
    "train_ranks": "graphmem.ranks",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import graphmem` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'graphmem' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
