"""One real training step on several gloo processes of this machine -> the allocations of every rank.

Events are replayed from the second step on, in which DDP allocates the buckets that it keeps; what was there before is
every tensor that Python's garbage collector knows. So no figure of ours goes into the truth, which is the third step's.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from ranks_networks import NETWORKS, Part
from torch import Tensor, nn
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile, record_function

STEPS = 3  # the first makes optimizer state, the second rebuilds DDP's buckets, the third is measured


@dataclass
class RankTrace:
    """Tensor-level bytes of the measured step: what was there before it, its peak and the peak of each phase."""

    rank: int
    baseline: int
    peak: int
    phase_peak: dict[str, int]
    at: tuple[str, str]
    events: list[tuple[str, str, int]] = field(default_factory=list)  # phase, operator, +bytes or -bytes


def loss_of(out: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy as a training loop writes it."""
    if out.dim() == 3:
        return functional.cross_entropy(out.view(-1, out.shape[-1]), target.view(-1))
    return functional.cross_entropy(out, target)


OPTIMIZERS: dict[str, Any] = {
    "sgd": (torch.optim.SGD, {"lr": 0.01}),
    "momentum": (torch.optim.SGD, {"lr": 0.01, "momentum": 0.9}),
    "adamw": (torch.optim.AdamW, {}),
}


def _trained(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def _ddp(model: nn.Module, optimizer: str, view: bool = False) -> tuple[nn.Module, Any]:
    wrapped = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=view)
    made, options = OPTIMIZERS[optimizer]
    return wrapped, made(_trained(wrapped), **options)


def _zero1(model: nn.Module, optimizer: str) -> tuple[nn.Module, Any]:
    from torch.distributed.optim import ZeroRedundancyOptimizer

    wrapped = nn.parallel.DistributedDataParallel(model)
    made, options = OPTIMIZERS[optimizer]
    return wrapped, ZeroRedundancyOptimizer(_trained(wrapped), optimizer_class=made, **options)


def _fsdp(model: nn.Module, optimizer: str, reshard: bool) -> tuple[nn.Module, Any]:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for block in model.blocks:  # type: ignore[union-attr]
        fully_shard(block, mesh=mesh, reshard_after_forward=reshard)
    fully_shard(model, mesh=mesh)
    made, options = OPTIMIZERS[optimizer]
    return model, made(_trained(model), **options)


MODES: dict[str, Callable[[nn.Module, str], tuple[nn.Module, Any]]] = {
    "ddp": _ddp,
    "ddp-view": lambda model, optimizer: _ddp(model, optimizer, True),
    "zero1": _zero1,
    "zero2": lambda model, optimizer: _fsdp(model, optimizer, False),
    "zero3": lambda model, optimizer: _fsdp(model, optimizer, True),
}


def _worker(rank: int, ranks: int, folder: str, network: str, mode: str, optimizer: str, batch: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
    _settle()
    torch.manual_seed(0)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as prof:
        step = (_pipeline if mode.startswith("pipeline") else _loop)(network, mode, optimizer, batch)
        step(0)
        gc.collect()
        before = _living()
        for i in range(1, STEPS):
            step(i)
    trace = traced(prof, rank, before)
    torch.save(trace, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def _settle() -> None:
    """Pause after each collective: else gloo's thread may be the last to hold a buffer, and the profiler, which watches
    the main thread alone, would never see it freed."""
    for name in ("all_gather_single", "reduce_scatter_single", "broadcast"):
        collective = getattr(dist, name)

        def paused(*args: Any, _collective: Any = collective, **options: Any) -> Any:
            work = _collective(*args, **{**options, "async_op": True})
            if options.get("async_op"):
                return work
            work.wait()
            time.sleep(0.005)
            return None

        setattr(dist, name, paused)


def _living() -> dict[int, int]:
    """Address of every storage that a Python tensor is on -> its bytes."""
    tensors = [t for t in gc.get_objects() if isinstance(t, Tensor)]
    tensors += [t.grad for t in tensors if t.grad is not None]
    storages = [(t._local_tensor if hasattr(t, "_local_tensor") else t).untyped_storage() for t in tensors]
    return {s.data_ptr(): s.nbytes() for s in storages if s.nbytes()}


def _loop(network: str, mode: str, optimizer: str, batch: int) -> Callable[[int], None]:
    module, inputs, target, _ = NETWORKS[network](batch)
    model, stepper = MODES[mode](module.train(), optimizer)

    def step(i: int) -> None:
        with record_function(f"## {i} forward"):
            out = model(*inputs)
            loss = loss_of(out, target)
        with record_function(f"## {i} backward"):
            loss.backward()
        with record_function(f"## {i} optimizer"):
            stepper.step()
        with record_function(f"## {i} zero"):
            stepper.zero_grad(set_to_none=True)

    return step


def _pipeline(network: str, mode: str, optimizer: str, batch: int) -> Callable[[int], None]:
    """Mode `pipeline:M`: as many blocks on every rank; rank 0 has the inputs, the last rank the targets."""
    from torch.distributed.pipelining import PipelineStage, Schedule1F1B

    rank, ranks, micro = dist.get_rank(), dist.get_world_size(), int(mode.split(":")[1])
    module, inputs, target, _ = NETWORKS[network](batch)
    size = len(module.blocks) // ranks
    part = Part(module.train(), rank * size, (rank + 1) * size)
    del module
    schedule = Schedule1F1B(PipelineStage(part, rank, ranks, torch.device("cpu")), micro, loss_fn=loss_of)
    made, options = OPTIMIZERS[optimizer]
    stepper = made(part.parameters(), **options)
    if rank:
        del inputs
    if rank < ranks - 1:
        del target

    def step(i: int) -> None:
        losses: list[Tensor] = []
        with record_function(f"## {i} pipeline"):
            if rank == 0:
                out = schedule.step(*inputs)
            else:
                out = schedule.step(target=target, losses=losses) if rank == ranks - 1 else schedule.step()
        with record_function(f"## {i} optimizer"):
            stepper.step()
        with record_function(f"## {i} zero"):
            stepper.zero_grad(set_to_none=True)
        del out

    return step


def traced(  # noqa: C901 (one walk, its visitor inside)
    prof: Any, rank: int, before: dict[int, int]
) -> RankTrace:
    """The allocator events of the last step, replayed on what the earlier ones left alive."""
    found: list[tuple[int, int, int, str, str, int]] = []

    def visit(event: Any, phase: str, operator: tuple[str, int]) -> None:
        name = event.name
        if name.startswith("## "):
            phase = name[3:]
        elif name.startswith("aten::") and not operator[0]:
            operator = (name, event.start_time_ns)
        elif name == "[memory]":
            extra = event.extra_fields
            found.append((event.start_time_ns, extra.alloc_size, extra.ptr, phase, *operator))
        for child in event.children:
            visit(child, phase, operator)

    for root in prof.profiler.kineto_results.experimental_event_tree():
        visit(root, "", ("", 0))
    found.sort(key=lambda row: row[0])
    second = next(i for i, row in enumerate(found) if row[3].startswith("1 "))
    found = found[second:]
    first = next(i for i, row in enumerate(found) if row[3].startswith(f"{STEPS - 1} "))
    live = {pointer: (nbytes, -1) for pointer, nbytes in before.items()}  # pointer -> bytes, number of the event
    kept: list[int | None] = []  # bytes of the event, None for workspace
    opened = {-1: -1}
    for i, (_, nbytes, pointer, _phase, operator, start) in enumerate(found):
        if nbytes > 0:
            live[pointer] = nbytes, i
            opened[i] = start if operator else -1
            kept.append(nbytes)
        elif pointer in live:
            size, made = live.pop(pointer)
            is_workspace = bool(operator) and opened[made] == start
            kept.append(None if is_workspace else -size)
            if is_workspace:
                kept[made] = None
        else:
            kept.append(None)
    baseline = sum(before.values()) + sum(n for n in kept[:first] if n)
    now, trace = baseline, RankTrace(rank, baseline, baseline, {}, ("", ""))
    for nbytes, row in zip(kept[first:], found[first:], strict=True):
        if nbytes is None or not row[3].startswith(f"{STEPS - 1} "):
            continue
        now += nbytes
        phase = row[3].split()[1]
        trace.events.append((phase, row[4], nbytes))
        trace.phase_peak[phase] = max(trace.phase_peak.get(phase, 0), now)
        if now > trace.peak:
            trace.peak, trace.at = now, (phase, row[4])
    return trace


def measured(network: str, mode: str, ranks: int, optimizer: str, batch: int) -> list[RankTrace]:
    """The measured step of every rank; `batch` is that of one rank."""
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_worker, (ranks, folder, network, mode, optimizer, batch), nprocs=ranks)  # type: ignore[no-untyped-call]
        return [torch.load(f"{folder}/{rank}.pt", weights_only=False) for rank in range(ranks)]
