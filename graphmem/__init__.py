"""graphmem: the exact memory of an exported ONNX model, without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphmem.ir.version import __version__

if TYPE_CHECKING:
    from graphmem.api.analyze import analyze
    from graphmem.api.checkpoint_frontier import checkpoint_frontier
    from graphmem.api.plan import execute, plan, plan_lifetimes
    from graphmem.api.train import train
    from graphmem.api.train_ranks import train_ranks
    from graphmem.fitting.fit import fit
    from graphmem.fleet.run import sweep
    from graphmem.ir.analysis import Analysis
    from graphmem.ir.errors import GraphmemError
    from graphmem.ir.fit import Fit
    from graphmem.ir.ranks import Ranked
    from graphmem.ir.training import Training

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
    "analyze": "graphmem.api.analyze",
    "checkpoint_frontier": "graphmem.api.checkpoint_frontier",
    "execute": "graphmem.api.plan",
    "fit": "graphmem.fitting.fit",
    "plan": "graphmem.api.plan",
    "plan_lifetimes": "graphmem.api.plan",
    "Analysis": "graphmem.ir.analysis",
    "Fit": "graphmem.ir.fit",
    "GraphmemError": "graphmem.ir.errors",
    "Ranked": "graphmem.ir.ranks",
    "Training": "graphmem.ir.training",
    "sweep": "graphmem.fleet.run",
    "train": "graphmem.api.train",
    "train_ranks": "graphmem.api.train_ranks",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import graphmem` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'graphmem' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
