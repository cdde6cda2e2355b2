"""Path, device -> Fit: does it fit, up to which batch, and what else would fit at what cost; `graphmem.fit`.

(probe, settings, what is asked) -> Fit: verdict, largest batch, curve, options, and devices when none is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphmem.fitting.candidates import Question, options, rank
from graphmem.fitting.devices import Accelerator, accelerator, catalogue, host_memory
from graphmem.fitting.devices import device as device_of
from graphmem.fitting.probe import Batching, Probe, Source
from graphmem.fitting.search import largest_batch
from graphmem.fitting.shared import shared_options
from graphmem.fitting.traffic import LINK, LINKS
from graphmem.ir.device import Device
from graphmem.ir.errors import OptionError
from graphmem.ir.fit import Candidate, Fit, Largest, Need, Option, Paging
from graphmem.ir.graph import Issue
from graphmem.ir.keywords import FitKeywords, RunKeywords, asked, step_names, takes
from graphmem.ir.options import READING

if TYPE_CHECKING:
    from typing_extensions import Unpack

BEYOND = 2  # batches after the first refused one that are tried too: what an allocator reserves is not monotone
COARSE = 400  # nodes; of larger models options are asked on a ladder of batches only, each read once for all of them
NO_ANSWERS: Mapping[str, Any] = {}
POINTS = 6  # of the curve, in doublings, beside 1 and the ends of the search
EVERYWHERE = Accelerator("cuda", True, 8_519_680)  # stands for a card when no device is named


@dataclass(frozen=True, slots=True)
class Asked:
    """The device or none, the batch or none, whether a desktop runs on it, whom to tell, and how many there are."""

    device: Device | None
    batch: int | None
    has_display: bool
    progress: Callable[[str], None]
    count: int = 1  # devices that may share a step
    is_brief: bool = False  # no options


def answered(probe: Probe, source: Source, settings: Mapping[str, Any], asked: Asked) -> Fit:
    """Everything that was asked about the model of the probe."""
    batching = source.batching()
    can_search = batching.is_free or batching.held is not None
    batch = asked.batch or batching.held or (1 if batching.is_free else None)
    on = accelerator(asked.device) if asked.device else EVERYWHERE
    usable = asked.device.usable_bytes(asked.has_display) if asked.device else 0

    def needed(batch: int | None, answers: Mapping[str, Any] = NO_ANSWERS) -> Need:
        asked.progress(f"batch {batch}")
        return probe.need(batch, {**settings, **answers}, on)

    def greatest(answers: Mapping[str, Any] = NO_ANSWERS) -> Largest | None:
        if not asked.device or not can_search:
            return None
        beyond = 0 if is_coarse else BEYOND
        return largest_batch(lambda b: needed(b, answers).compared, usable, asked.batch or 8, beyond)

    is_coarse = source.facts(batch).nodes > COARSE
    need = needed(batch)
    largest = greatest()
    open_ = probe.interval(batch, settings, on)
    shown = largest.batch if largest and largest.batch and asked.batch is None else batch
    points = _points(largest, batch, is_coarse) if can_search else [batch]
    candidates = () if asked.device else _candidates(probe, settings, batch, asked.has_display)
    question = Question(probe, settings, on, usable, batch, largest if asked.batch is None else None, is_coarse)
    found = () if asked.is_brief else _options(question, asked)
    is_lost = asked.device is not None and need.compared > usable and not found
    return Fit(
        model=source.facts(batch),
        mode="training" if probe.is_training else "inference",
        settings=settings,
        device=asked.device,
        usable=usable,
        compared=on.compared,
        batch_asked=asked.batch,
        need=need,
        largest=largest,
        curve=tuple(needed(b) for b in points),
        options=found,
        candidates=candidates,
        host=host_memory(source.input_bytes(shown), probe.state_bytes(batch, settings, on), probe.is_training),
        issues=_told(probe.issues(batch, settings, on)),
        notes=(*probe.notes(batch, settings), *_unchangeable(batching)),
        paging=_paging(max(0, need.peak - usable)) if is_lost else None,
        questions=open_.questions,
        worst=needed(batch, open_.worst) if open_.questions else None,
        surely=greatest(open_.worst) if open_.questions else None,
    )


def _options(question: Question, asked: Asked) -> tuple[Option, ...]:
    """What else fits, on one device or on several of its kind, cheapest first."""
    if asked.device is None:
        return _anywhere(question, asked)
    if asked.device.bandwidth:
        question = replace(question, bandwidth=asked.device.bandwidth * 1e9)
    found = options(question, asked.progress)
    if question.probe.is_training:
        found += shared_options(question, asked.count, asked.progress)
    return tuple(sorted(found, key=rank))


def _paging(nbytes: int) -> Paging:
    return Paging(nbytes, nbytes / LINKS[LINK], LINK)


def _unchangeable(batching: Batching) -> tuple[str, ...]:
    """Why no largest batch was looked for, where none was."""
    return (f"no other batch can be asked for: {batching.reason}",) if batching.reason else ()


def _told(issues: tuple[Issue, ...]) -> tuple[Issue, ...]:
    """Issues that a reader of the figures should know, each once; the batch is said elsewhere."""
    return tuple(dict.fromkeys(issue for issue in issues if issue.kind != "batch"))


def _points(largest: Largest | None, batch: int | None, is_coarse: bool) -> Sequence[int | None]:
    """Batches to draw: 1, doublings around the largest, both ends of the search, and the one asked about."""
    ends = [b for b in (largest.batch, largest.refused) if b] if largest else []
    middle = max(ends[:1] or [batch or 1])
    top = 1 << (2 * middle).bit_length() - 1
    doublings = [] if is_coarse else [top >> i for i in range(POINTS) if top >> i]
    return sorted({1, *ends, *doublings, batch or 1})


def _candidates(
    probe: Probe, settings: Mapping[str, Any], batch: int | None, has_display: bool
) -> tuple[Candidate, ...]:
    """The devices of the catalogue with room for the step, smallest first."""
    rows = [(d.usable_bytes(has_display), d, probe.need(batch, settings, accelerator(d))) for d in catalogue()]
    fitting = [Candidate(d, usable, need) for usable, d, need in rows if need.compared <= usable]
    return tuple(sorted(fitting, key=lambda c: (c.usable, c.device.name)))


def _anywhere(question: Question, asked: Asked) -> tuple[Option, ...]:
    """The options at the batch, each with the smallest device that it fits."""
    found = options(replace(question, capacity=1 << 62), asked.progress)
    placed = []
    for option in found:
        rows = [(d.usable_bytes(asked.has_display), d) for d in catalogue() if accelerator(d).torch_device == "cuda"]
        room = sorted((u, d.name) for u, d in rows if option.need.compared <= u)
        if room:
            placed.append(replace(option, capacity=room[0][0], smallest_device=room[0][1]))
    return tuple(placed)


@takes(FitKeywords)
def fit(
    path: str | Path,
    device: str | Device | None = None,
    dims: Mapping[str, int] | None = None,
    *,
    train: bool = False,
    display: bool = False,
    count: int = 1,
    brief: bool = False,
    progress: Callable[[str], None] | None = None,
    **options: Unpack[FitKeywords],
) -> Fit:
    """Whether the model in the ONNX file at `path` fits a device, up to which batch, and what else would fit.

    Args:
        path: the file, as for `analyze` and `train`.
        device: a name of the catalogue or a size ("rtx 3060", "4GB"); None asks which devices fit.
        dims: numbers for free dimensions, as for `analyze`.
        train: a training step, described by `options`; else a forward run of PyTorch under `torch.no_grad()`.
        display: a desktop runs on the device.
        brief: no options, only the verdict and the largest batch.
        count: devices of that kind that may share a training step, by ZeRO or a pipeline.
        progress: called with what is looked at next.
        options: how to read the file, and the step; without a `batch` the largest is looked for.

    Raises:
        ModelError: the file is not a readable, valid model.
        OptionError: an option fits neither the model nor the choices, or no device has that name.
    """
    reading, step = asked(FitKeywords, dims, options)
    if reading.batch is not None and reading.batch < 1:
        raise OptionError(f"--batch {reading.batch}: the batch must be at least 1")
    if count < 1:
        raise OptionError(f"--count {count}: there must be at least 1 device")
    on = device_of(device) if isinstance(device, str) else device
    source = Source(Path(path), reading)
    question = Asked(on, reading.batch, display, progress or _silent, count, brief)
    described = sorted(set(options) - set(RunKeywords.__annotations__) - set(READING))
    if described and not train:
        raise OptionError(f"'{described[0]}' describes a training step; ask with train=True")
    settings = {name: getattr(step, name) for name in step_names(FitKeywords)}
    return answered(Probe(source, train), source, settings, question)


def _silent(_: str) -> None:
    """Tell nobody."""
