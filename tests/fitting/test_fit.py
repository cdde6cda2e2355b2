"""`graphmem.fit`: its largest batch, its options and its devices, each held against `graphmem.train` and `analyze`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import graphmem
from graphmem.fitting.devices import accelerator, device
from graphmem.fitting.probe import Probe, Source
from graphmem.fitting.search import largest_batch
from graphmem.ir.errors import OptionError
from graphmem.ir.fit import Fit, Need
from graphmem.ir.keywords import FitKeywords, step_defaults
from graphmem.ir.options import ReadingOptions

MODELS = Path(__file__).parents[2] / "models"
MIB = 1 << 20

# Network, free dimensions, device, optimizer. A size in MiB has 450 MiB of context taken off.
PAIRS = [
    ("resnet18", {}, "GTX 1650", "sgd"),
    ("resnet18", {}, "RTX 2060", "adamw"),
    ("mobilenetv2", {}, "rtx 3060", "momentum"),
    ("vgg16", {}, "RTX 3070", "sgd"),
    ("unet", {}, "T4", "sgd"),
    ("vit", {}, "RTX 2080 Ti", "adamw"),
    ("tiny_cnn", {}, "500MiB", "adamw"),
    ("tiny_gpt", {"sequence": 32}, "480MiB", "adamw"),
    ("tiny_gpt", {"sequence": 32}, "3GB", "sgd"),
    ("tiny_lstm", {"sequence": 20}, "480MiB", "sgd"),
]


def path_of(name: str) -> Path:
    return MODELS / f"{name}.onnx"


def reserved(name: str, dims: dict[str, int], batch: int, optimizer: str) -> int:
    found = graphmem.train(path_of(name), dims, batch=batch, optimizer=optimizer, device="cuda").allocator
    assert found is not None
    return found.reserved


@pytest.mark.parametrize(("name", "dims", "card", "optimizer"), PAIRS, ids=str)
def test_the_largest_batch_fits_and_the_next_does_not(
    name: str, dims: dict[str, int], card: str, optimizer: str
) -> None:
    reading = ReadingOptions(dims=dims)
    probe, on = Probe(Source(path_of(name), reading), True), accelerator(device(card))
    settings = step_defaults(FitKeywords) | {"optimizer": optimizer}
    usable = device(card).usable_bytes()
    found = largest_batch(lambda batch: probe.need(batch, settings, on).compared, usable)
    assert found.batch > 0
    assert reserved(name, dims, found.batch, optimizer) <= usable < reserved(name, dims, found.batch + 1, optimizer)


@cache
def tiny(card: str = "500MiB", batch: int | None = None, name: str = "tiny_gpt") -> Fit:
    dims = {"sequence": 32} if name == "tiny_gpt" else {}
    return graphmem.fit(path_of(name), card, dims, batch=batch, train=True, optimizer="adamw")


@pytest.mark.parametrize(("name", "batch"), [("tiny_cnn", None), ("tiny_gpt", 240)])
def test_every_option_run_again_through_train_has_the_same_peak(name: str, batch: int | None) -> None:
    found = tiny("500MiB", batch, name)
    assert len(found.options) >= 5
    dims = {"sequence": 32} if name == "tiny_gpt" else {}
    for option in found.options:
        again = graphmem.train(path_of(name), dims, batch=option.need.batch, device="cuda", **option.settings)
        assert again.peak == option.need.peak, option.name
        assert again.allocator is not None
        figures = {"native": again.allocator.reserved, "expandable": again.allocator.reserved_expandable}
        assert figures[option.allocator] == option.need.compared <= found.usable, option.name


def test_options_come_cheapest_first_and_say_what_to_do() -> None:
    found = tiny(name="tiny_cnn")
    costs = [round(option.cost, 2) for option in found.options]
    assert costs == sorted(costs)
    assert all(option.what and option.headroom >= 0 for option in found.options)
    assert [o.cost for o in found.options if o.name == "as-is"] == [1.0]


def test_the_code_of_every_option_is_python() -> None:
    checked = [o for o in (*tiny(name="tiny_cnn").options, *tiny(batch=240).options) if o.allocator == "native"]
    assert len(checked) > 12
    for option in checked:
        compile(option.code, option.name, "exec")


@pytest.mark.parametrize(("name", "batch"), [("tiny_cnn", None), ("tiny_gpt", 240)])
def test_a_larger_device_never_loses_an_option(name: str, batch: int | None) -> None:
    before: set[str] = set()
    largest = 0
    for card in ("500MiB", "600MiB"):
        found = tiny(card, batch, name)
        names = {option.name for option in found.options}
        assert before <= names, card
        assert found.largest is not None
        assert found.largest.batch >= largest
        before, largest = names, found.largest.batch
    assert before


def test_a_batch_is_kept_by_accumulation_in_equal_parts() -> None:
    split = [o for o in tiny(batch=240).options if o.settings["accumulate"] > 1]
    assert split
    assert all(o.need.batch * o.settings["accumulate"] == 240 for o in split if o.need.batch)


def test_the_curve_grows_with_the_batch_and_crosses_the_device_at_the_largest() -> None:
    found = tiny(batch=240)
    assert found.largest is not None
    assert [n.batch for n in found.curve] == sorted(n.batch or 0 for n in found.curve)
    assert [n.peak for n in found.curve] == sorted(n.peak for n in found.curve)
    for need in found.curve:
        assert need.batch is not None
        assert (need.compared <= found.usable) == (need.batch <= found.largest.batch)


def test_without_a_device_those_of_the_catalogue_that_fit_come_smallest_first() -> None:
    found = graphmem.fit(path_of("vgg16"), batch=64, train=True, optimizer="adam")
    rooms = [row.usable for row in found.candidates]
    assert 0 < len(rooms) < 99  # 8 GB cards are too small for it
    assert rooms == sorted(rooms)
    assert all(0 <= row.headroom == row.usable - row.need.compared for row in found.candidates)
    smallest = found.candidates[0].device
    assert graphmem.fit(path_of("vgg16"), smallest, batch=64, train=True, optimizer="adam").fits
    placed = {option.name: option for option in found.options}
    assert placed["bf16-amp"].capacity <= placed["as-is"].capacity == rooms[0]


def test_a_desktop_takes_its_share() -> None:
    with_display = graphmem.fit(path_of("tiny_cnn"), "4GB", display=True)
    assert with_display.usable == graphmem.fit(path_of("tiny_cnn"), "4GB").usable - 500 * MIB


def test_hopper_has_a_greater_cublas_workspace() -> None:
    assert accelerator(device("h100 sxm")).cublas_workspace == accelerator(device("b200")).cublas_workspace == 32 * MIB
    assert accelerator(device("rtx 5090")).cublas_workspace == 32 * MIB
    assert accelerator(device("rtx 4090")).cublas_workspace == accelerator(device("4GB")).cublas_workspace == 8_519_680
    assert not accelerator(device("m2 ultra")).has_caching_allocator


def need(compared: int, exactness: str) -> Need:
    return Need(1, compared, compared, exactness)  # type: ignore[arg-type]


def test_a_bound_proves_one_answer_only() -> None:
    assert [need(9, e).verdict(10) for e in ("exact", "at most", "at least")] == ["fits", "fits", "fits, not proved"]
    assert [need(11, e).verdict(10) for e in ("exact", "at most", "at least")] == [
        "does not fit", "does not fit, not proved", "does not fit",
    ]  # fmt: skip


def test_convolutions_are_never_proved_to_fit_and_a_transformer_is() -> None:
    assert graphmem.fit(path_of("tiny_cnn"), "4GB").verdict == "fits, not proved"
    assert tiny("600MiB", 240).verdict == "fits"


def test_a_forward_run_counts_tied_weights_once_though_the_file_transposes_them() -> None:
    weights = graphmem.analyze(path_of("gpt2"), {"sequence": 8}, batch=1).model.weight_bytes
    reading, settings = ReadingOptions(dims={"sequence": 8}), step_defaults(FitKeywords)
    found = Probe(Source(path_of("gpt2"), reading), False).need(1, settings, accelerator(device("4GB")))
    assert 4 * 124_439_808 < found.peak < weights  # of GPT-2; the head's transposed view is no copy


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"batch": 0}, "at least 1"),
        ({"device": "rtx 9999"}, "did you mean"),
        ({"optimizer": "adamw"}, "describes a training step"),
        ({"train": True, "optimizer": "adamx"}, "is not one of"),
        ({"train": True, "accumulate": 0}, "is not a whole number from 1"),
        ({"train": True, "colour": "red"}, "not an argument"),
        ({"dims": {"sequense": 3}}, "no input has a dimension"),
    ],
)
def test_what_cannot_be_answered_is_one_line(options: dict[str, object], reason: str) -> None:
    with pytest.raises(OptionError, match=reason) as raised:
        graphmem.fit(path_of("tiny_cnn"), **{"device": "4GB", **options})  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


LINEAR = """g (float[N,4] x) => (float[N,2] y) <float[2,4] w = {1, 2, 3, 4, 5, 6, 7, 8}, float[2] b = {1, 2}> {
    y = Gemm <transB = 1> (x, w, b)
}"""


def test_weights_of_linear_layers_shrink_as_torchao_stores_them(model: Callable[..., Path]) -> None:
    path = model(LINEAR)
    found = {option.name: option.need.peak for option in graphmem.fit(path, "4GB", batch=3).options}
    assert found["as-is"] == 4 * (2 * 4 + 2 + 3 * 4 + 3 * 2)  # w, b, x, y
    assert found["fp16"] == found["bf16"] == found["as-is"] // 2
    assert found["int8"] == found["fp16"] - 2 * (2 * 4) + (2 * 4 + 2 * 2)  # one byte each, a scale per row
    assert found["int4"] == found["fp16"] - 2 * (2 * 4) + (2 * 4 // 2 + 2 * 4)  # half a byte, scale and zero per row


def test_a_fixed_batch_is_searched_in_training_and_inference(model: Callable[..., Path]) -> None:
    path = model(LINEAR.replace("float[N,", "float[3,"))
    for train in (False, True):
        found = graphmem.fit(path, "480MiB", train=train, **({"loss": "sum"} if train else {}))
        assert found.need.batch == 3
        assert found.largest is not None
        assert found.largest.batch > 1000


def test_a_file_without_a_batch_is_asked_as_it_is(model: Callable[..., Path]) -> None:
    found = graphmem.fit(model("g (float[4] x, float[2,4] z) => (float[2,4] y) { y = Add(x, z) }"), "4GB")
    assert found.largest is None
    assert found.need.batch is None
    assert found.need.peak == 4 * (4 + 8 + 8)
    assert [note for note in found.notes if note.startswith("no other batch can be asked for: ")]


def test_a_step_shared_by_two_devices_needs_what_train_ranks_says() -> None:
    asked = graphmem.fit(path_of("tiny_gpt"), "500MiB", {"sequence": 32}, batch=64, count=2, train=True)
    shared = [option for option in asked.options if "parallel" in option.settings]
    assert {option.name for option in shared} == {"zero2:2", "zero3:2", "pipeline:2"}
    for option in shared:
        assert option.cost > 1
        assert option.need.exactness == "at least"  # the allocator of each device is not simulated
        again = graphmem.train_ranks(
            path_of("tiny_gpt"), option.settings["parallel"], {"sequence": 32}, batch=option.need.batch, device="cuda"
        )
        assert again.peak == option.need.peak, option.name
        assert (option.need.batch or 0) * (1 if option.name.startswith("pipeline") else 2) == 64


def test_where_nothing_fits_what_must_be_paged_is_what_is_too_much() -> None:
    found = graphmem.fit(MODELS / "vgg16.onnx", "600MiB", train=True)
    assert not found.fits
    assert found.options == ()
    assert found.paging is not None
    assert found.paging.nbytes == found.need.peak - found.usable > 0
    assert graphmem.fit(MODELS / "tiny_cnn.onnx", "4GB", train=True).paging is None
