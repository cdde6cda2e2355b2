"""Small files beside the repository, each of a kind that some reader gets wrong: what we say against the truth."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

import graphmem
from graphmem.ir.errors import InputError
from graphmem.ir.types import BoundedType, SequenceType, TensorType, Type
from graphmem.reader import read
from tests.conftest import SHARED

SHAPES = SHARED / "data" / "faults" / "shapes"
TRAINED = "OP"  # kinds whose figures are of a training step
REFUSED = "M"  # files that no runtime takes
PACKED = "N"  # kinds about weights


def cases(folder: Path) -> list[Any]:
    if not (folder / "cases.json").exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"{folder} is not there"))]
    rows = json.loads((folder / "cases.json").read_text())["cases"]
    return [pytest.param(row, id=f"{row['kind']}-{row['file']}") for row in rows]


def options(command: str) -> dict[str, Any]:
    words = shlex.split(command)
    given = [(word, words[i + 1]) for i, word in enumerate(words[:-1]) if word.startswith("--")]
    dims = {name: int(size) for option, text in given if option == "--dim" for name, _, size in [text.rpartition("=")]}
    batch = next((int(text) for option, text in given if option == "--batch"), None)
    return {"dims": dims, "batch": batch}


def holds(type_: Type, truth: dict[str, Any]) -> bool:
    """True when the type is the true one, or a bound of it."""
    if "seq" in truth:
        elements = type_.elements if isinstance(type_, SequenceType) else None
        return elements is not None and all(map(holds, elements, truth["seq"]))
    shape = tuple(truth["shape"])
    if isinstance(type_, BoundedType):
        options = (BoundedType(type_.dtype, type_.low, type_.high), *type_.others)
        return any(len(of(o)[1]) == len(shape) and between(o, shape) for o in options) and type_.dtype == truth["dtype"]
    return type_ == TensorType(truth["dtype"], shape)


def of(type_: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return (type_.shape, type_.shape) if isinstance(type_, TensorType) else (type_.low, type_.high)


def between(type_: Any, shape: tuple[int, ...]) -> bool:
    low, high = of(type_)
    return all(a <= n <= b for a, n, b in zip(low, shape, high, strict=True))


@pytest.mark.parametrize("case", cases(SHAPES))
def test_every_tensor_has_the_type_that_it_has_in_a_run_or_a_bound_of_it(case: dict[str, Any]) -> None:
    if case["kind"] in TRAINED:
        pytest.skip("a training step: tests/autograd")
    path = SHAPES / case["file"]
    if case["kind"] in REFUSED and case["product"]["exit"]:
        with pytest.raises(InputError):
            read(path)
        return
    graph = read(path, **options(case["command"]))
    truths = [*case.get("expected_tensors", {}).items(), *case.get("expected_tensors_else", {}).items()]
    types = {name: graph.tensors[name].type for name, _ in truths}
    wrong = {name: str(types[name]) for name, truth in truths if not holds(types[name], truth)}
    assert not wrong


@pytest.mark.parametrize("case", cases(SHAPES))
def test_an_exact_plain_peak_is_the_true_one_and_a_bound_is_no_less(case: dict[str, Any]) -> None:
    if "expected_plain_peak" not in case or (case["kind"] in REFUSED and case["product"]["exit"]):
        pytest.skip("no plain peak is stated")
    found = graphmem.analyze(SHAPES / case["file"], memory_model="plain", **options(case["command"]))
    peak = found.inference.peak
    assert peak >= case["expected_plain_peak"]
    if found.exactness == "exact":
        assert peak == case["expected_plain_peak"]
