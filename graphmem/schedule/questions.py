"""Graph, options, the likeliest peak -> Interval: the step simulated under each answer to what the file does not tell.

An export in evaluation mode is one file of several training steps: dropout is gone from it, batch norms may be folded
into convolutions; no file says which activations are in place; TorchScript files do not tell how long Python names hold
values. Each question is asked where the graph has a place for it and the caller has not answered it. Its answers are
simulated one at a time, the others left at what is likeliest, and then all at the low and all at the high end together:

    least = min(all simulated)   <=   likeliest   <=   most = max(all simulated)

so that both ends are peaks of steps that exist, never padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, TypeAlias

from graphmem.autograd.releases import tells_names
from graphmem.ir.graph import Graph
from graphmem.ir.options import RAISING, TrainingOptions
from graphmem.ir.program import Call, Program
from graphmem.ir.questions import Alternative, Interval, Question
from graphmem.raising.in_place import all_in_place
from graphmem.schedule.eager import training_trace
from graphmem.schedule.programs import program_of
from graphmem.schedule.training_figures import peak_of

Answer: TypeAlias = Mapping[str, Any]  # fields of TrainingOptions
_Step: TypeAlias = tuple[Program, bool]  # what runs, and whether names hold values until functions return
SHARE = 1_000  # a question matters when its answers are more than this part of the peak apart
AS_IT_IS: Answer = {}
ALL = ("*",)  # the pattern that matches every module
SOME = 0.1  # a probability of dropout: memory does not depend on which


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of question. `fields` of TrainingOptions answer it; likeliest is the step as it is, where none does."""

    what: str
    option: str
    evidence: str
    fields: tuple[str, ...]
    answers: Mapping[str, Answer]


KINDS = (
    Kind(
        "dropout",
        "--dropout P (0 for none), --attention-dropout P",
        "an export in evaluation mode removes dropout",
        ("dropout", "attention_dropout"),
        {
            "none": AS_IT_IS,
            "wherever such networks have it": {"dropout": SOME, "attention_dropout": SOME},
            "not on attention weights": {"dropout": SOME, "attention_dropout": 0.0},
            "on attention weights alone": {"dropout": 0.0, "attention_dropout": SOME},
        },
    ),
    Kind(
        "batch norm folded into convolutions",
        "--assume-bn, --no-assume-bn",
        "an export in evaluation mode may fold batch norms",
        ("assume_bn",),
        {"as in the file": AS_IT_IS, "after convolutions": {"assume_bn": True}},
    ),
    Kind(
        "activations in place",
        "--inplace PATTERN ('*' for all, none for none)",
        "the file does not say which activations are inplace=True",
        ("inplace",),
        {"none": AS_IT_IS, "wherever PyTorch lets them be": {"inplace": ALL}},
    ),
    Kind(
        "Python names that keep values alive",
        "--names last-use, --names function",
        "the file has no tracebacks of the exporter",
        ("names",),
        {"until their last use": AS_IT_IS, "until the module returns": {"names": "function"}},
    ),
)


def interval(graph: Graph, step: TrainingOptions, program: Program, likeliest: int) -> Interval:
    """All peaks that the file leaves possible; `program` and `likeliest` are those of the options as they are."""
    corners = _Corners(graph, step, program, likeliest)
    ends: list[tuple[Question, Answer, Answer]] = []
    for kind in KINDS:
        if any(getattr(step, name) not in (None, ()) for name in kind.fields):
            continue
        peaks = dict(corners.peaks(kind))
        if len(peaks) > 1 and (max(peaks.values()) - min(peaks.values())) * SHARE > likeliest:
            low, high = min(peaks, key=lambda a: peaks[a]), max(peaks, key=lambda a: peaks[a])
            told = tuple(Alternative(answer, peak) for answer, peak in peaks.items())
            question = Question(kind.what, corners.places(kind, high, low), kind.evidence, told, kind.option)
            ends.append((question, kind.answers[low], kind.answers[high]))
    if len(ends) > 1:
        corners.peak({name: value for _, low, _ in ends for name, value in low.items()})
        corners.peak({name: value for _, _, high in ends for name, value in high.items()})
    if not ends:
        return Interval(likeliest, likeliest)
    questions = sorted((question for question, _, _ in ends), key=lambda q: (-q.nbytes, q.what))
    most, worst, _ = max(corners.simulated, key=lambda row: row[0])
    least = min(peak for peak, _, _ in corners.simulated)
    return Interval(least, most, tuple(questions), worst)


class _Corners:
    """Steps under answers, each simulated once."""

    def __init__(self, graph: Graph, step: TrainingOptions, program: Program, likeliest: int) -> None:
        self.graph, self.step, self.batch = graph, step, program.batch
        self._raised = {_of_raising(step): program}
        self._tells_names = tells_names(program)
        self.simulated: list[tuple[int, Answer, _Step]] = [(likeliest, AS_IT_IS, self._step(AS_IT_IS))]

    def peaks(self, kind: Kind) -> Iterator[tuple[str, int]]:
        """The answers that differ in what runs, each with its peak."""
        seen: list[_Step] = []
        for answer, change in kind.answers.items():
            if all(not _is_same(self._step(change), other) for other in seen):
                seen.append(self._step(change))
                yield answer, self.peak(change)

    def peak(self, change: Answer) -> int:
        """The peak of the step under these answers."""
        asked = self._step(change)
        for peak, _, known in self.simulated:
            if _is_same(asked, known):
                return peak
        peak = peak_of(training_trace(asked[0], replace(self.step, **change)))
        self.simulated.append((peak, change, asked))
        return peak

    def places(self, kind: Kind, high: str, low: str) -> tuple[str, ...]:
        """Where the programs of two answers differ, by module."""
        one, other = (self._step(kind.answers[answer])[0].calls for answer in (high, low))
        known = {call.outputs: call for call in other}
        scopes = [c.origin.scope or c.outputs[0] for c in one if c.outputs and _is_other(c, known.get(c.outputs))]
        return tuple(dict.fromkeys(scopes))

    def _step(self, change: Answer) -> _Step:
        """What runs under these answers."""
        asked = replace(self.step, **change)
        key = _of_raising(asked)
        if key not in self._raised:
            plain = _of_raising(replace(asked, inplace=self.step.inplace))
            before = self._raised.get(plain) if asked.inplace == ALL else None
            self._raised[key] = all_in_place(before) if before else program_of(self.graph, self.batch, asked)
        return self._raised[key], asked.names == "function" and not self._tells_names


def _of_raising(step: TrainingOptions) -> tuple[Any, ...]:
    """What the program depends on."""
    return tuple(getattr(step, name) for name in RAISING)


def _is_other(call: Call, other: Call | None) -> bool:
    """Whether another operation runs, or one with other numbers; names of values may differ."""
    if other is None or call.target != other.target:
        return True
    return any(type(a) in (bool, float, int) and a != b for a, b in zip_longest(call.args, other.args))


def _is_same(one: _Step, other: _Step) -> bool:
    """Whether the same runs and is held as long."""
    same = one[0] is other[0] or (one[0].calls == other[0].calls and one[0].given == other[0].given)
    return same and one[1] == other[1]
