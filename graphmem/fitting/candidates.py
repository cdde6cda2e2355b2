"""(probe, settings, batch or none) -> Options: every candidate evaluated, those that fit kept, cheapest first."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isqrt
from typing import Any, TypeAlias

from graphmem.fitting.devices import Accelerator
from graphmem.fitting.probe import EXPANDABLE, NATIVE, Probe
from graphmem.fitting.recipe import code, what
from graphmem.fitting.remedies import ACCUMULATE, ALIKE, BY_NAME, COMBINATIONS, REMEDIES, RUN_COMBINATIONS, applied
from graphmem.fitting.search import largest_batch, rung_batch
from graphmem.fitting.traffic import LINK, LINKS
from graphmem.ir.errors import ModelError, OptionError
from graphmem.ir.fit import Largest, Need, Option, Outcome

Settings: TypeAlias = Mapping[str, Any]
_OUTCOMES: tuple[Outcome, ...] = ("same", "rounding", "other")
TYPICAL = 300e9  # bytes a second of a card that is only known by its size
AS_IS: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of every candidate: on which accelerator, within how many bytes, at which batch.

    Without a batch the largest is looked for, from `base`, the largest of the settings as they are; on a ladder
    alone where `is_coarse`.
    """

    probe: Probe
    settings: Settings
    on: Accelerator
    capacity: int
    batch: int | None
    base: Largest | None
    is_coarse: bool = False
    bandwidth: float = TYPICAL  # of the device's memory, bytes a second
    found: dict[tuple[str, ...], Largest] = field(default_factory=dict)  # the largest batches found so far

    @property
    def fixed(self) -> float:
        """Bytes of the settings as they are that no batch changes, as far as a line tells."""
        most = max(2, self.base.batch if self.base else 2)
        one, many = (self.need(AS_IS, self.settings, batch).compared for batch in (1, most))
        return max(0.0, one - (many - one) / (most - 1))

    def need(self, names: tuple[str, ...], settings: Settings, batch: int | None) -> Need:
        """What a step with those remedies needs."""
        allocator = EXPANDABLE if "expandable" in names else NATIVE
        return self.probe.need(batch, settings, self.on, allocator)

    @property
    def program_batch(self) -> int | None:
        """A batch at which the program has been read."""
        return self.batch if self.base is None else 1


def candidates(on: Accelerator, is_training: bool) -> tuple[tuple[str, ...], ...]:
    """Names of the remedies to try, alone and combined; the first is none at all."""
    offered = [remedy for remedy in REMEDIES if (remedy.is_for_steps if is_training else remedy.is_for_runs)]
    rows = [(r.name,) for r in offered if r.allocator == NATIVE or on.has_caching_allocator]
    return (AS_IS, *rows, *(COMBINATIONS if is_training else RUN_COMBINATIONS))


def options(question: Question, progress: Callable[[str], None]) -> tuple[Option, ...]:
    """The candidates that fit, cheapest first; between equals the greater batch."""
    found: list[Option] = []
    for names in candidates(question.on, question.probe.is_training):
        progress(" + ".join(names) or "as it is")
        option = _offered(question, names)
        if option is not None and option.need.compared <= question.capacity:
            found.append(option)
    return tuple(sorted(found, key=rank))


def _offered(question: Question, names: tuple[str, ...]) -> Option | None:
    """The option, or None where the model cannot be trained or followed so."""
    try:
        return evaluated(question, names)
    except (OptionError, ModelError):
        if names == AS_IS:
            raise
        return None


def rank(option: Option) -> tuple[Any, ...]:
    """The cheapest first; between equals what changes least, then what gives most room."""
    batch = option.largest.batch if option.largest else 0
    return (round(option.cost, 2), _OUTCOMES.index(option.outcome), -batch, option.need.compared, option.name)


def evaluated(question: Question, names: tuple[str, ...]) -> Option | None:
    """The option that those remedies are, whether it fits or not; None when one has nothing to offer."""
    program = question.probe.program(question.program_batch, question.settings)
    settings = applied(names, question.settings, program)
    if settings is None:
        return None
    largest: Largest | None = None
    micro: int | None
    if ACCUMULATE in names:
        split = _accumulated(question, names, settings)
        if split is None:
            return None
        micro, settings, largest = split
    elif question.base is None:
        micro = question.batch
    else:
        largest = question.base if names == AS_IS else _largest(question, names, settings)
        micro = max(1, largest.batch)
    need = question.need(names, settings, micro)
    is_training = question.probe.is_training
    said = [what(name, settings, need.batch, largest is not None, is_training) for name in names]
    return Option(
        name="+".join(names) or "as-is",
        what="; ".join(said) or "as it is",
        code=code(names, settings, program, is_training),
        outcome=max((_outcome(name, is_training) for name in names), key=_OUTCOMES.index, default="same"),
        settings=settings,
        allocator=EXPANDABLE if "expandable" in names else NATIVE,
        need=need,
        largest=largest,
        cost=_cost(question, need, settings["accumulate"]),
        capacity=question.capacity,
    )


def _outcome(name: str, is_training: bool) -> Outcome:
    remedy = BY_NAME.get(name)
    if remedy is None:
        return "same"  # accumulation
    return (remedy.outcome_of_steps if is_training else None) or remedy.outcome


def _largest(question: Question, names: tuple[str, ...], settings: Settings) -> Largest:
    """The search starts where that for a remedy of these, or for one alike, has ended; else at the settings' own."""
    assert question.base is not None

    def need(batch: int) -> int:
        return question.need(names, settings, batch).compared

    start = max(1, question.base.batch)
    if question.is_coarse:
        return rung_batch(need, question.capacity, start, max(1.0, (need(start) - question.fixed) / start))
    alike = [names[:1], names[1:], *((name,) for name in ALIKE.get(names[0], ()))]
    start = max([start, *(question.found[other].batch for other in alike if other in question.found)])
    slope = max(1.0, (need(start) - question.fixed) / start)
    question.found[names] = largest_batch(need, question.capacity, start, slope=slope)
    return question.found[names]


def _accumulated(
    question: Question, names: tuple[str, ...], settings: Settings
) -> tuple[int, Settings, Largest | None] | None:
    """(micro-batch, settings, largest micro-batch): the fewest equal parts of the batch that fit, at least two."""
    if settings["accumulate"] > 1 or (question.base is not None and not question.probe.is_training):
        return None
    if question.base is not None:
        twice = {**settings, "accumulate": 2}
        largest = _largest(question, names, twice)
        return (largest.batch, twice, largest) if largest.batch else None
    if question.batch is None:
        return None
    batch = question.batch

    def is_enough(passes: int) -> bool:
        split = {**settings, "accumulate": passes}
        return question.need(names, split, batch // passes).compared <= question.capacity

    passes = divisors(batch)
    at = bisect_left(passes, True, key=is_enough)  # smaller passes need less
    if at == len(passes):
        return None
    return batch // passes[at], {**settings, "accumulate": passes[at]}, None


MAX_DIVISOR = 1 << 16  # the lesser of two that make the batch


def divisors(batch: int) -> list[int]:
    """The divisors of the batch above 1, the least first."""
    small = [number for number in range(1, min(isqrt(batch), MAX_DIVISOR) + 1) if batch % number == 0]
    return sorted({*small, *(batch // number for number in small)} - {1})


def _cost(question: Question, need: Need, passes: int) -> float:
    """Estimated time of a sample relative to the settings as they are: bytes moved over bytes moved."""
    if need.batch is None:
        return cost_ratio(need.moved, question.need(AS_IS, question.settings, None).moved)
    far = max(2, question.base.batch if question.base else question.batch or 2)
    low = question.need(AS_IS, question.settings, 1).moved
    high = question.need(AS_IS, question.settings, far).moved
    as_it_is = low + (high - low) * (need.batch * passes - 1) / (far - 1)
    copied = need.copied * question.bandwidth / LINKS[LINK]  # as many bytes of the device's own memory take as long
    return cost_ratio((need.moved + copied) * (1 if question.probe.is_training else passes), as_it_is)


def cost_ratio(moved: float, as_it_is: float) -> float:
    """How many times as many bytes; 1 for a model that moves none at all."""
    return moved / as_it_is if as_it_is > 0 else 1.0
