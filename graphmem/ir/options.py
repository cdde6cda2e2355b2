"""What a caller asks for -> ReadingOptions, TrainingOptions: every option once, with its choices and a line of help.

A field is what an option is; the `...Keywords` say which verb takes it. Verbs, command line, `fit`, `sweep`, the gates
of pyproject.toml and the tables in docs/ are made from both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from math import isfinite
from typing import Any, TypeAlias

from graphmem.ir.errors import OptionError
from graphmem.ir.types import TensorType

LOSSES = ("cross_entropy", "mse", "l1", "bce", "sum", "mean", "none")
OPTIMIZERS = (
    "sgd", "momentum", "nesterov", "adam", "adamw", "amsgrad", "nadam", "radam", "rmsprop", "adagrad", "adafactor",
    "lion", "adam8bit", "muon",
)  # fmt: skip
FORMS = ("single", "foreach", "fused")
DEVICES = ("cpu", "cuda")
PRECISIONS = ("fp32", "bf16", "fp16", "bf16-amp", "fp16-amp")
OFFLOADS = ("optimizer", "activations")
MEMORY_MODELS = ("plain", "views", "inplace")  # those of graphmem itself; ONNX Runtime has one of its own
ORDERS = ("file", "memory")  # likewise
RUN_PRECISIONS = ("fp32", "fp16", "bf16", "int8", "fp8", "int4")  # of a forward run
NAMES = ("last-use", "function")  # a value dies at its last use, or when the module that made it returns


# The value of an input: one number for every element, or one for each.
Given: TypeAlias = "bool | int | Sequence[bool | int]"


@dataclass(frozen=True, slots=True)
class Declared:
    """What a field is beside its name and default: a flag when that is False, repeated when it is a tuple.

    `least` and `most` bound a number of the type `kind`; `most` itself is refused where `is_below`.
    """

    line: str
    choices: tuple[str, ...] = ()
    metavar: str = ""
    kind: type = str
    least: float | None = None
    most: float | None = None
    is_below: bool = False
    spelling: str = ""  # on the command line, where not its name
    title: str = ""  # in errors, where not its name


def _option(default: Any, line: str, **more: Any) -> Any:
    return field(default=default, metadata={"option": Declared(line, **more)})


def declared(row: Field[Any]) -> Declared:
    """What a field of either record says about itself."""
    found = row.metadata["option"]
    assert isinstance(found, Declared)
    return found


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """How a file is read: what its free dimensions are, and what it does not say."""

    dims: Mapping[str, int] | None = _option(
        None, "Bind a free dimension, by name or as INPUT:AXIS=N.", metavar="NAME=N", spelling="--dim"
    )
    batch: int | None = _option(None, "Bind the free leading dimension of the inputs.", metavar="N", kind=int)
    strict: bool = _option(False, "Refuse free dimensions; exit 3 when a figure is incomplete.")
    trips: Mapping[str, int] | None = _option(
        None, "How often a loop runs, by the name of its node or output.", metavar="NAME=N", spelling="--trip-count"
    )
    shapes: Mapping[str, TensorType] | None = _option(
        None, 'Types of tensors that cannot be known: JSON {"tensor": {"dtype": "float32", "shape": [1, 2]}}.',
        metavar="PATH", spelling="--shapes-from",
    )  # fmt: skip
    branches: Mapping[str, str] | None = _option(
        None, "Which branch of an If runs, by the name of its node or output.", metavar="NAME=then|else",
        spelling="--branch",
    )  # fmt: skip
    inputs: Mapping[str, Given] | None = _option(
        None, "Value of a small integer or boolean input: one for all elements, or one for each by comma.",
        metavar="NAME=VALUE", spelling="--input",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """The training step that is asked about; OptionError when a value is none of an option's choices."""

    loss: str = _option("cross_entropy", "Loss function.", choices=LOSSES)
    label_smoothing: float = _option(
        0.0, "Of cross_entropy: the share of every target that all classes have.", metavar="P", kind=float, least=0,
        most=1,
    )  # fmt: skip
    optimizer: str = _option("sgd", "Optimizer.", choices=OPTIMIZERS)
    form: str | None = _option(None, "Of the optimizer. Default: torch's.", choices=FORMS, title="optimizer form")
    weight_decay: bool = _option(False, "The optimizer is given a weight decay.")
    device: str = _option("cpu", "Device.", choices=DEVICES)
    freeze: tuple[str, ...] = _option((), "Parameters that are not trained, such as 'encoder.*'.", metavar="PATTERN")
    assume_bn: bool | None = _option(None, "Put batch norms back where they may have been folded away.", kind=bool)
    dropout: float | None = _option(
        None, "Put back dropout that the export removed.", metavar="P", kind=float, least=0, most=1
    )
    attention_dropout: float | None = _option(
        None, "The same for attention weights.", metavar="P", kind=float, least=0, most=1
    )
    inplace: tuple[str, ...] = _option(
        (), "Modules whose activations run in place, such as 'features.*' or '*'; none where they do not.",
        metavar="PATTERN",
    )  # fmt: skip
    names: str | None = _option(None, "How long Python names hold values, where the file does not tell.", choices=NAMES)
    precision: str = _option("fp32", "Of the step.", choices=PRECISIONS)
    accumulate: int = _option(1, "Passes before the optimizer steps.", metavar="N", kind=int, least=1)
    checkpoint: tuple[str, ...] = _option(
        (), "Modules to compute again in the backward pass: 'layers.*', blocks, every:2 or sqrt.", metavar="SPEC"
    )
    lora: str = _option("", "Freeze the model; adapters of rank R beside its linear layers.", metavar="R[:PATTERN]")
    offload: tuple[str, ...] = _option((), "What waits in host memory.", choices=OFFLOADS)
    prune: float = _option(
        0.0, "Take out this share of channels where the graph allows, such as 0.3.", metavar="SHARE", kind=float,
        least=0, most=1, is_below=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        for row in fields(self):
            value = getattr(self, row.name)
            if isinstance(row.default, tuple):
                value = _several(row.name, value)
                object.__setattr__(self, row.name, value)
            for one in value if isinstance(value, tuple) else (value,):
                if one is not None or row.default is not None:
                    _check(row, declared(row), one)
        if self.label_smoothing and self.loss != "cross_entropy":
            raise OptionError(f"label_smoothing is of cross_entropy, and the loss is {self.loss}: leave one out")

    @property
    def given(self) -> dict[str, Any]:
        """The options that are not at their defaults, by name."""
        return {r.name: value for r in fields(self) if (value := getattr(self, r.name)) != r.default}

    @property
    def optimizer_form(self) -> str:
        """The form, torch's default for the device where none is asked for."""
        return self.form or ("foreach" if self.device == "cuda" else "single")


def _several(name: str, value: Any) -> tuple[str, ...]:
    """The values of a repeated option; a text alone would be taken letter by letter."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise OptionError(f"{name} {value!r} is not a list; give [{value!r}]")
    return tuple(value)


def _check(row: Field[Any], option: Declared, value: Any) -> None:
    """OptionError for a value of another type, that is none of the choices, or beyond the bounds."""
    if option.choices and value not in option.choices:
        raise OptionError(f"{option.title or row.name} '{value}' is not one of {', '.join(option.choices)}")
    kind = bool if row.default is False else option.kind
    is_kind = isinstance(value, (int, float) if kind is float else kind) and isinstance(value, bool) == (kind is bool)
    if not is_kind or (kind in (int, float) and not _is_within(option, value)):
        raise OptionError(f"{row.name} {value!r} is not {_wanted(kind, option)}")


def _is_within(option: Declared, value: float) -> bool:
    if not isfinite(value) or (option.least is not None and not value >= option.least):
        return False
    return option.most is None or value < option.most or (value == option.most and not option.is_below)


def _wanted(kind: type, option: Declared) -> str:
    if kind in (bool, str):
        return "true or false" if kind is bool else "a text"
    upper = "" if option.most is None else f" to {'below ' if option.is_below else ''}{option.most:g}"
    return f"a {'whole ' if kind is int else ''}number from {option.least:g}{upper}"


# Which verb takes what: the keywords of a verb are those of these rows that its own one joins.


READING = tuple(row.name for row in fields(ReadingOptions))
RAISING = ("assume_bn", "dropout", "attention_dropout", "inplace")  # what changes the program of the step
