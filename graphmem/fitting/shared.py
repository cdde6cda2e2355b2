"""A question and a number of devices -> the ways to share the step between them that fit, each rank simulated.

The figure is the peak of the rank that needs most, of tensors alone: what the allocator of each device adds is not
counted. `batch` is that of a rank for data parallel and ZeRO, of the whole step for a pipeline.
"""

from __future__ import annotations

from collections.abc import Callable

from graphmem.autograd.rebatch import rebatched
from graphmem.fitting.candidates import AS_IS, Question, cost_ratio
from graphmem.fitting.search import rung_batch
from graphmem.fitting.traffic import LINK, LINKS
from graphmem.ir.errors import OptionError, misfits
from graphmem.ir.fit import Largest, Need, Option
from graphmem.ir.keywords import FitKeywords, RanksKeywords, step_defaults, step_names
from graphmem.ir.options import TrainingOptions
from graphmem.ir.ranks import Ranked
from graphmem.schedule.parallel import parallel_of, ranked

UNCOUNTED = ("what the caching allocator adds on each device",)


WAYS = {
    "zero2": ("ZeRO-2 on {n} devices: fully_shard, parameters kept whole", ", reshard_after_forward=False"),
    "zero3": ("ZeRO-3 on {n} devices: fully_shard (FSDP)", ""),
    "pipeline": ("pipeline of {n} stages, {n} micro-batches (1F1B)", ""),
}


_SHARD = """\
# torchrun --nproc-per-node {n} train.py; every rank reads its own part of the batch
from torch.distributed.fsdp import fully_shard
for block in blocks:  # the repeated modules of the model
    fully_shard(block{more})
fully_shard(model{more})"""


_PIPELINE = """\
# torchrun --nproc-per-node {n} train.py; stages as `graphmem train --parallel pipeline:{n}` prints them
from torch.distributed.pipelining import PipelineStage, Schedule1F1B
schedule = Schedule1F1B(PipelineStage(part, rank, {n}, device), n_microbatches={n}, loss_fn=criterion)"""


def shared_options(question: Question, count: int, progress: Callable[[str], None]) -> tuple[Option, ...]:
    """The ways to share the step between `count` devices that fit, cheapest first."""
    alone = {name: value for name, value in step_defaults(FitKeywords).items() if name not in step_names(RanksKeywords)}
    if count < 2 or any(question.settings[name] != value for name, value in alone.items()):
        return ()
    found = []
    for way in WAYS:
        progress(f"{way} on {count} devices")
        try:
            option = _shared(question, way, count)
        except misfits(OptionError):  # the model has no place to cut, or holds no batch to share
            continue
        if option is not None and option.need.compared <= question.capacity:
            found.append(option)
    return tuple(sorted(found, key=lambda option: (round(option.cost, 2), option.name)))


def _shared(question: Question, way: str, count: int) -> Option | None:
    part = count if way == "pipeline" else 1  # of which the batch of a run is a multiple
    runs: dict[int, Ranked] = {}

    def run(batch: int) -> Ranked:
        if batch not in runs:
            runs[batch] = _ranked(question, f"{way}:{count}", batch)
        return runs[batch]

    largest: Largest | None = None
    if question.base is not None:
        start = max(1, question.base.batch)
        slope = max(1.0, (run(start * part).peak - run(part).peak) / max(1, start - 1))
        rungs = rung_batch(lambda batch: run(batch * part).peak, question.capacity, start, slope)
        largest = Largest(rungs.batch * part, None if rungs.refused is None else rungs.refused * part)
        batch = max(part, largest.batch)
    elif question.batch is None or question.batch % count:
        return None
    else:
        batch = question.batch if way == "pipeline" else question.batch // count
    need = Need(batch, run(batch).peak, run(batch).peak, "at least", uncounted=UNCOUNTED)
    what, more = WAYS[way]
    code = _PIPELINE.format(n=count) if way == "pipeline" else _SHARD.format(n=count, more=more)
    return Option(
        name=f"{way}:{count}",
        what=what.format(n=count),
        code=code,
        outcome="same",
        settings={**question.settings, "parallel": f"{way}:{count}"},
        allocator="native",
        need=need,
        largest=largest,
        cost=_shared_cost(question, run(batch), batch, way, count),
        capacity=question.capacity,
    )


def _ranked(question: Question, parallel: str, batch: int) -> Ranked:
    """The step on every rank, asked as `graphmem.train_ranks` asks it: a pipeline is given the whole batch."""
    way = parallel_of(parallel)
    step = TrainingOptions(device=question.on.torch_device, **question.settings)
    program = question.probe.program(batch, question.settings)
    if way.micro_batches > 1:
        program = rebatched(program, batch, batch // way.micro_batches)
    return ranked(program, step, way)


def _shared_cost(question: Question, found: Ranked, batch: int, way: str, count: int) -> float:
    """Device time of a sample: what is sent beside what is moved; a pipeline also waits while it fills and empties."""
    alone = question.need(AS_IS, question.settings, batch).moved
    sent = found.sent / count * question.bandwidth / LINKS[LINK]
    share = alone / count if way == "pipeline" else alone
    waits = (2 * count - 1) / count if way == "pipeline" else 1.0
    return cost_ratio(share + sent, share) * waits
