"""A verb's keywords -> ReadingOptions and TrainingOptions: which verb takes which option, typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from inspect import Parameter, signature
from typing import Any, TypedDict, TypeVar

from graphmem.ir.errors import OptionError
from graphmem.ir.options import READING, Declared, Given, ReadingOptions, TrainingOptions, declared
from graphmem.ir.types import TensorType


class ReadingKeywords(TypedDict, total=False):
    """What every verb that reads a file takes."""

    batch: int | None
    strict: bool
    trips: Mapping[str, int] | None
    shapes: Mapping[str, TensorType] | None
    branches: Mapping[str, str] | None
    inputs: Mapping[str, Given] | None


class _Folded(TypedDict, total=False):
    assume_bn: bool | None


class _Loss(TypedDict, total=False):
    loss: str
    label_smoothing: float


class _StepKeywords(_Loss, _Folded, total=False):
    optimizer: str
    form: str | None
    weight_decay: bool
    freeze: Sequence[str]
    dropout: float | None
    attention_dropout: float | None
    inplace: Sequence[str]
    names: str | None


class _Device(TypedDict, total=False):
    device: str


class _Precision(TypedDict, total=False):
    precision: str


class _OneDevice(_Precision, total=False):
    accumulate: int
    checkpoint: Sequence[str]
    lora: str
    offload: Sequence[str]


class SweepKeywords(_Loss, total=False):
    """What all rows of `sweep` share."""


class RunKeywords(_Folded, _Precision, total=False):
    """Those of `fit` that a forward run has too."""


class FitKeywords(ReadingKeywords, _StepKeywords, _OneDevice, total=False):
    """The step of `fit`, whose device has a name or a size."""


class RanksKeywords(ReadingKeywords, _StepKeywords, _Device, total=False):
    """`train_ranks`."""


class FrontierKeywords(ReadingKeywords, _StepKeywords, _Device, _Precision, total=False):
    """`checkpoint_frontier`, which finds what to checkpoint."""


class TrainKeywords(ReadingKeywords, _StepKeywords, _Device, _OneDevice, total=False):
    """`train`."""

    prune: float


def step_names(keywords: type) -> tuple[str, ...]:
    """The options of a training step among a verb's keywords, in the order of the record."""
    return tuple(row.name for row in fields(TrainingOptions) if row.name in keywords.__annotations__)


def step_defaults(keywords: type) -> dict[str, Any]:
    """What those are when they are not given."""
    return {row.name: row.default for row in fields(TrainingOptions) if row.name in keywords.__annotations__}


Verb = TypeVar("Verb", bound=Callable[..., Any])


def takes(keywords: type) -> Callable[[Verb], Verb]:
    """A verb whose signature and docstring tell one by one what it takes as `**` of those keywords."""
    rows = [r for r in (*fields(ReadingOptions), *fields(TrainingOptions)) if r.name in keywords.__annotations__]

    def told(verb: Verb) -> Verb:
        own = signature(verb)
        plain = [one for one in own.parameters.values() if one.kind is not one.VAR_KEYWORD]
        more = [Parameter(r.name, Parameter.KEYWORD_ONLY, default=r.default, annotation=r.type) for r in rows]
        verb.__signature__ = own.replace(parameters=[*plain, *more])  # type: ignore[attr-defined]
        lines = "".join(f"\n            {row.name}: {_told(declared(row))}" for row in rows)
        verb.__doc__ = (verb.__doc__ or "").replace("\n\n    Raises:", lines + "\n\n    Raises:")
        return verb

    return told


def _told(option: Declared) -> str:
    """The line of help, with the choices."""
    return f"{option.line} {' | '.join(option.choices)}".strip()


def asked(
    keywords: type, dims: Mapping[str, int] | None, given: Mapping[str, Any]
) -> tuple[ReadingOptions, TrainingOptions]:
    """What a verb was given, as records; OptionError for what it does not take."""
    _refuse_unknown(keywords, given)
    reading = {name: value for name, value in given.items() if name in READING}
    step = {name: value for name, value in given.items() if name not in READING}
    return ReadingOptions(dims=dims, **reading), TrainingOptions(**step)


def _refuse_unknown(keywords: type, given: Mapping[str, Any]) -> None:
    taken = keywords.__annotations__
    unknown = sorted(set(given) - set(taken))
    if unknown:
        raise OptionError(f"'{unknown[0]}' is not an argument here; there are {', '.join(taken)}")
