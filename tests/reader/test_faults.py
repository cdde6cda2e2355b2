"""Small files beside the repository, each of a kind that some reader gets wrong: what we say against the truth."""

from __future__ import annotations

import json
import shlex
from contextlib import suppress
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


REAL = SHARED / "data" / "faults" / "real"

# Command without its file -> peak in bytes and how to read it, where one is stated.
FIGURES = [
    ("k1_if_matmul", "--dim n=48", 321, "exact"),
    ("k1_if_lstm", "--dim n=32", 226, "exact"),
    ("k6_slice_by_input", "", 32_776, "at most"),
    ("k6_loop_write", "", None, "at most"),
    ("k8_greater_or_equal_op13", "", 288, "exact"),
    ("k9_stft_rank2", "", 38_592, "exact"),
    ("k10_loop_map_max_trips", "--dim b=3", 2_058, "exact"),
    ("k5_linear_zipmap", "--dim n=6", None, "exact"),
]
needs_real = pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is not there")


@needs_real
@pytest.mark.parametrize(("name", "words", "peak", "exactness"), FIGURES)
def test_a_fault_of_a_popular_file_has_its_figure(name: str, words: str, peak: int | None, exactness: str) -> None:
    found = graphmem.analyze(REAL / f"{name}.onnx", memory_model="plain", **options(words))
    assert found.exactness == exactness
    assert peak is None or found.inference.peak == peak


@needs_real
@pytest.mark.parametrize(
    ("name", "words", "parts"),
    [
        ("k2_free_conv", "", ["'h'", "'w'", "taken as 1", "--dim h=N"]),
        ("k2_free_reshape", "", ["'samples'", "taken as 1"]),
        ("k13_free_pyramid_concat", "", ["'height'", "'width'", "taken as 1"]),
        ("k3_conv_zero", "--dim t=3", ["window is larger than the input"]),
        ("k3_reflect_pad", "", ["cannot be reflected", "taken as 1"]),
    ],
)
def test_what_cannot_run_is_refused_in_words_that_name_the_sizes(name: str, words: str, parts: list[str]) -> None:
    with pytest.raises(InputError) as error:
        graphmem.analyze(REAL / f"{name}.onnx", **options(words))
    assert all(part in str(error.value) for part in parts)


@needs_real
def test_a_norm_that_onnxruntime_fused_into_an_older_opset_is_known() -> None:
    pytest.importorskip("onnxruntime")
    found = graphmem.analyze(REAL / "k14_layernorm_op13.onnx", memory_model="onnxruntime")
    assert (found.exactness, found.inference.peak) == ("exact", 3_072)


@needs_real
@pytest.mark.parametrize("name", ["k11_train_unknown_batchnorm", "k12_train_resize_dynamic"])
def test_a_step_without_shapes_is_a_line_and_no_traceback(name: str) -> None:
    with suppress(InputError):
        found = graphmem.train(REAL / f"{name}.onnx", loss="sum")
        assert found.exactness == "at least"
