"""The records of options against what simulates them, the verbs, the commands and the docs that are made from them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import Field, fields
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, get_type_hints

import click
import pytest

import graphmem
from graphmem.autograd import optimizers, precision
from graphmem.autograd.rules.loss import LOSSES
from graphmem.cli import COMMANDS
from graphmem.ir import keywords as by_verb
from graphmem.ir import options
from graphmem.ir.errors import OptionError
from graphmem.ir.keywords import asked
from graphmem.ir.options import ReadingOptions, TrainingOptions, declared
from graphmem.passes.precision import PRECISIONS as RUN_PRECISIONS

DOCS = Path(__file__).parents[2] / "docs"
STEP = {row.name: row for row in fields(TrainingOptions)}
READING = {row.name: row for row in fields(ReadingOptions)}
VERBS = {
    "analyze": by_verb.ReadingKeywords,
    "plan": by_verb.ReadingKeywords,
    "execute": by_verb.ReadingKeywords,
    "train": by_verb.TrainKeywords,
    "train_ranks": by_verb.RanksKeywords,
    "checkpoint_frontier": by_verb.FrontierKeywords,
    "fit": by_verb.FitKeywords,
    "sweep": by_verb.SweepKeywords,
}
COMMAND_KEYWORDS = {
    "train": by_verb.TrainKeywords,
    "checkpoint": by_verb.FrontierKeywords,
    "fit": by_verb.FitKeywords,
    "sweep": by_verb.SweepKeywords,
    **dict.fromkeys(("check", "diff", "draw", "export", "report"), by_verb.TrainKeywords),
}


def is_switch(row: Any) -> bool:
    """--x, or --x and --no-x where not to say is a third answer."""
    return row.default is False or declared(row).kind is bool


@pytest.mark.parametrize(
    ("said", "table"),
    [
        (options.LOSSES, LOSSES),
        (options.OPTIMIZERS, optimizers.OPTIMIZERS),
        (options.FORMS, optimizers.FORMS),
        (options.PRECISIONS, precision.PRECISIONS),
        (options.RUN_PRECISIONS, RUN_PRECISIONS),
    ],
)
def test_the_choices_are_the_rows_of_what_simulates_them(said: tuple[str, ...], table: Sequence[str]) -> None:
    assert set(said) == set(table)


def test_every_option_says_what_it_is_in_one_line() -> None:
    for row in (*STEP.values(), *READING.values()):
        assert declared(row).line.endswith((".", "}}."))
        assert declared(row).choices or declared(row).metavar or is_switch(row), row.name


@pytest.mark.parametrize("keywords", dict.fromkeys([*VERBS.values(), by_verb.RunKeywords]), ids=lambda k: k.__name__)
def test_keywords_are_fields_of_the_records_with_their_types(keywords: type) -> None:
    kinds = {**get_type_hints(ReadingOptions), **get_type_hints(TrainingOptions)}
    for name, kind in get_type_hints(keywords).items():
        assert kind == (Sequence[str] if kinds[name] == tuple[str, ...] else kinds[name]), name


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_shows_its_keywords_with_the_defaults_of_the_records(verb: str) -> None:
    taken = signature(getattr(graphmem, verb)).parameters
    doc = getattr(graphmem, verb).__doc__
    for name in VERBS[verb].__annotations__:
        row = STEP.get(name) or READING[name]
        assert taken[name].default == row.default
        assert f"    {name}: {declared(row).line}" in doc


def command_of(name: str) -> click.Command:
    found = getattr(import_module(COMMANDS[name][0]), name)
    assert isinstance(found, click.Command)
    return found


@pytest.mark.parametrize("name", COMMAND_KEYWORDS)
def test_a_command_takes_the_options_of_its_verb(name: str) -> None:
    taken = {option.name for option in command_of(name).params}
    assert set(COMMAND_KEYWORDS[name].__annotations__) - taken <= ({"prune"} if name == "export" else set())


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_of_a_command_is_what_its_record_says(name: str) -> None:
    for option in command_of(name).params:
        row = STEP.get(option.name or "") if name in COMMAND_KEYWORDS or option.name == "prune" else None
        if row is None or (name, option.name) in AXES or (option.name == "device" and name != "train"):
            continue
        assert isinstance(option, click.Option)
        assert option.help == declared(row).line
        assert option.is_flag == is_switch(row)
        assert option.multiple == isinstance(row.default, tuple)
        assert tuple(getattr(option.type, "choices", ())) == declared(row).choices
        context = click.Context(command_of(name), resilient_parsing=True)
        assert option.process_value(context, option.get_default(context)) == row.default


AXES = {("sweep", axis) for axis in ("optimizer", "precision", "accumulate", "checkpoint")}  # lists of values


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"loss": "hinge"}, "loss 'hinge' is not one of cross_entropy, mse"),
        ({"form": "double"}, "optimizer form 'double' is not one of single, foreach, fused"),
        ({"device": "tpu"}, "device 'tpu' is not one of cpu, cuda"),
        ({"offload": ["weights"]}, "offload 'weights' is not one of optimizer, activations"),
        ({"freeze": "encoder.*"}, r"freeze 'encoder\.\*' is not a list; give \['encoder"),
        ({"accumulate": 0}, "accumulate 0 is not a whole number from 1$"),
        ({"accumulate": 1.5}, "accumulate 1.5 is not a whole number"),
        ({"accumulate": True}, "accumulate True is not a whole number"),
        ({"dropout": 1.5}, "dropout 1.5 is not a number from 0 to 1$"),
        ({"dropout": float("nan")}, "dropout nan is not a number"),
        ({"prune": 1.0}, "prune 1.0 is not a number from 0 to below 1$"),
        ({"weight_decay": 0.01}, "weight_decay 0.01 is not true or false"),
        ({"lora": 8}, "lora 8 is not a text"),
        ({"loss": None}, "loss 'None' is not one of"),
        ({"optimiser": "sgd"}, "'optimiser' is not an argument here; there are batch, "),
    ],
    ids=str,
)
def test_a_value_that_is_none_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        asked(by_verb.TrainKeywords, None, given)


def test_a_verb_refuses_the_options_of_another() -> None:
    with pytest.raises(OptionError, match="'precision' is not an argument here"):
        graphmem.train_ranks("m.onnx", "ddp:2", precision="bf16")  # type: ignore[call-arg]


def test_what_is_not_given_is_what_the_record_says() -> None:
    assert asked(by_verb.TrainKeywords, {"n": 2}, {"batch": 3}) == (ReadingOptions({"n": 2}, 3), TrainingOptions())
    assert TrainingOptions(offload=["optimizer"]).offload == ("optimizer",)  # type: ignore[arg-type]
    forms = [TrainingOptions(form=form, device=on).optimizer_form for form in (None, "fused") for on in ("cpu", "cuda")]
    assert forms == ["single", "foreach", "fused", "fused"]


SAID = "<!-- made from graphmem/ir/options.py: OPTIONS_TABLE=write pytest tests/ir/test_options.py -->\n"
TAKEN_BY = {"train": "train", "train --parallel": "train_ranks", "checkpoint": "checkpoint_frontier", "fit": "fit"}


def row_of_table(row: Field[Any]) -> str:
    about = declared(row)
    values = ", ".join(f"`{choice}`" for choice in about.choices) or f"`{about.metavar}`" * bool(about.metavar)
    verbs = [told for told, verb in TAKEN_BY.items() if row.name in VERBS[verb].__annotations__]
    flag = f"`{about.spelling or '--' + row.name.replace('_', '-')}`"
    return f"| {flag} | {values} | {about.line} | {', '.join(verbs)} |\n"


def test_the_table_of_options_in_the_docs_is_the_records() -> None:
    """Also without a line of prose about a new option: `OPTIONS_TABLE=write` writes it."""
    table = "| option | values | | taken by |\n|---|---|---|---|\n" + "".join(map(row_of_table, STEP.values()))
    page = DOCS / "training.md"
    before, _, rest = page.read_text().partition(SAID)
    _, _, after = rest.partition("\n\n")
    if os.environ.get("OPTIONS_TABLE") == "write":
        page.write_text(f"{before}{SAID}{table}\n{after}")
    assert table in rest
