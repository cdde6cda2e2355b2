"""Path, device -> Need: what one forward run of PyTorch takes on a device, as `graphmem fit` holds it against it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from graphmem.autograd.raising import raised
from graphmem.fitting.accelerator import accelerator
from graphmem.fitting.probe import need_of, run_traced
from graphmem.ir.device import Device
from graphmem.ir.fit import Need
from graphmem.ir.types import TensorType
from graphmem.reader import read
from graphmem.schedule.pruning import pruned
from graphmem.training import followed, read_with_batch


def run_need(
    path: str | Path,
    device: Device,
    dims: Mapping[str, int] | None = None,
    *,
    batch: int | None = None,
    prune: float = 0.0,
    strict: bool = False,
    trips: Mapping[str, int] | None = None,
    shapes: Mapping[str, TensorType] | None = None,
) -> Need:
    """Bytes that a run under `torch.no_grad()` needs on `device`; arguments and errors as for `graphmem.analyze`."""
    graph, fixed = read_with_batch(batch, partial(read, path, dims, is_strict=strict, trips=trips, shapes=shapes))
    graph = pruned(graph, prune)
    on = accelerator(device)
    with followed(f"a run of '{Path(path).name}'"):
        traced = run_traced(graph, raised(graph), "fp32", on.torch_device, fixed)
    return need_of(traced, batch, on)
