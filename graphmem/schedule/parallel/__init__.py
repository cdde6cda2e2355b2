"""Program and a way to spread it over ranks -> the peak of every rank and the bytes sent, by the simulated engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

from graphmem.ir.errors import OptionError
from graphmem.ir.keywords import RanksKeywords, step_names
from graphmem.ir.options import TrainingOptions
from graphmem.ir.program import Program
from graphmem.ir.ranks import Parallel, Ranked
from graphmem.schedule.parallel.pipelined import pipelined
from graphmem.schedule.parallel.replicated import replicated
from graphmem.schedule.parallel.sharded import sharded
from graphmem.schedule.parallel.tensor_parallel import tensor_parallel

Spread = Callable[[Program, TrainingOptions, Parallel], Ranked]
WAYS: dict[str, Spread] = {
    "ddp": replicated,
    "zero1": replicated,
    "zero2": sharded,
    "zero3": sharded,
    "tp": tensor_parallel,
    "pipeline": pipelined,
}
MOST = 4096  # ranks or micro-batches
SPELLINGS = {"fsdp": "zero3", "dp": "ddp", "pp": "pipeline"}


def parallel_of(text: str) -> Parallel:
    """`ddp:4`, `zero1:4`, `zero2:4`, `zero3:4` (= `fsdp:4`), `tp:2`, `pipeline:4[:M]` -> Parallel.

    `ddp:4:view` is DDP with gradient_as_bucket_view; a pipeline has as many micro-batches as stages unless told.
    Raises OptionError when the text is none of them.
    """
    kind, *more = text.strip().lower().split(":")
    kind = SPELLINGS.get(kind, kind)
    is_view = kind == "ddp" and more[1:] == ["view"]
    numbers = more[:1] if is_view else more
    most = 2 if kind == "pipeline" else 1
    if kind not in WAYS or not 1 <= len(numbers) <= most or not all(map(_is_count, numbers)):
        raise OptionError(
            f"parallel '{text}' is not one of ddp:N, ddp:N:view, zero1:N, zero2:N, zero3:N (fsdp:N), tp:N, "
            f"pipeline:N, pipeline:N:MICRO_BATCHES with N ranks, {MOST} at most"
        )
    ranks = int(numbers[0])
    micro_batches = int(numbers[1]) if len(numbers) > 1 else ranks if kind == "pipeline" else 1
    return Parallel(kind, ranks, micro_batches, is_view)


def _is_count(text: str) -> bool:
    return text.isdecimal() and len(text) <= len(str(MOST)) and 1 <= int(text) <= MOST


def ranked(
    program: Program,
    settings: TrainingOptions,
    parallel: Parallel,
) -> Ranked:
    """The step spread over ranks; a pipeline takes the program of one micro-batch.

    Raises OptionError when the program cannot be spread so, with the reason.
    """
    followed = step_names(RanksKeywords)
    for field in fields(settings):
        if field.name not in followed and getattr(settings, field.name) != field.default:
            raise OptionError(
                f"a step on several devices is known without {field.name} only: leave it out, or use one device"
            )
    return WAYS[parallel.kind](program, settings, parallel)
