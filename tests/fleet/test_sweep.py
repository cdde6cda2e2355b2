"""A sweep: figures as the single commands give them, in one order, each worked out once, whoever dies."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import graphmem
from graphmem.fleet.rows import proved
from graphmem.ir.errors import OptionError
from graphmem.ir.fleet import SweepProgress, SweepRecord
from tests.fleet.conftest import mlp

MODELS = Path(__file__).parents[2] / "models"
GRID = {
    "batch": [1, 4],
    "mode": ["inference", "training"],
    "optimizer": ["sgd", "adamw"],
    "device": ["rtx 3060", "cpu"],
}
CELLS = 2 * (1 + 2) * 2  # batches x (inference, training with either optimizer) x devices


def timeless(rows: Sequence[SweepRecord]) -> list[SweepRecord]:
    return [replace(row, seconds=0.0) for row in rows]


def test_figures_are_those_of_the_single_commands(fleet: Path) -> None:
    rows = list(graphmem.sweep(fleet, GRID, jobs=0))
    assert len(rows) == 4 * CELLS
    path = fleet / "w16.onnx"
    for row in (row for row in rows if row.model == path.as_posix()):
        if row.mode == "inference":
            assert row.peak_bytes == graphmem.analyze(path, batch=row.batch).peak_with_weights
            continue
        on = "cpu" if row.device == "cpu" else "cuda"
        single = graphmem.train(path, batch=row.batch, optimizer=row.optimizer, device=on)
        assert row.peak_bytes == single.peak
        assert row.needed_bytes == (single.peak if single.allocator is None else single.allocator.reserved)
        assert (row.fits, row.exactness) == ("" if on == "cpu" else "yes", "exact")


def test_a_precision_makes_rows_of_the_modes_that_have_it() -> None:
    path = MODELS / "tiny_cnn.onnx"
    grid = {"mode": ["inference", "training"], "precision": ["fp32", "bf16", "bf16-amp", "int8"], "batch": 2}
    rows = {(row.mode, row.precision): row.peak_bytes for row in graphmem.sweep(path, grid, jobs=0)}
    runs = {
        ("inference", p): graphmem.analyze(path, batch=2, precision=p).peak_with_weights
        for p in ("fp32", "bf16", "int8")
    }
    steps = {("training", p): graphmem.train(path, batch=2, precision=p).peak for p in ("fp32", "bf16", "bf16-amp")}
    assert rows == runs | steps


def test_every_axis_of_training_is_what_train_takes() -> None:
    grid = {
        "batch": 4, "mode": "training", "precision": ["fp32", "bf16-amp"], "accumulate": [1, 2],
        "checkpoint": ["none", "layer1.*+layer2.*"], "device": ["cuda", "h100 sxm", "m3 max"],
    }  # fmt: skip
    rows = list(graphmem.sweep(MODELS / "resnet18.onnx", grid, jobs=0))
    assert len({row.peak_bytes for row in rows}) >= 6
    for row in rows:
        single = graphmem.train(
            MODELS / "resnet18.onnx", batch=4, precision=row.precision, accumulate=row.accumulate or 0,
            checkpoint=() if row.checkpoint == "none" else ("layer1.*", "layer2.*"),
            device="cpu" if row.device.startswith("M3") else "cuda",
        )  # fmt: skip
        assert row.peak_bytes == single.peak
        reserved = None if single.allocator is None else single.allocator.reserved
        if row.device == "cuda":
            assert row.needed_bytes == reserved
        elif row.device.startswith("M3"):
            assert row.needed_bytes == single.peak
        else:
            assert row.needed_bytes > (reserved or 0)  # the greater workspace of cuBLAS on Hopper


def test_what_is_held_against_a_card_is_what_fit_holds() -> None:
    path = MODELS / "tiny_cnn.onnx"
    for card in ("rtx 3060", "h100 sxm", "m3 max"):
        (row,) = graphmem.sweep(path, {"batch": 4, "mode": "training", "device": card}, jobs=0)
        assert row.needed_bytes == graphmem.fit(path, card, batch=4, train=True).need.compared


def test_rows_come_in_the_order_of_paths_and_grid_however_many_work(fleet: Path) -> None:
    one = timeless(list(graphmem.sweep(fleet, GRID, jobs=1)))
    assert timeless(list(graphmem.sweep(fleet, GRID, jobs=0))) == one
    two = timeless(list(graphmem.sweep(fleet, GRID, jobs=2)))
    assert one == two
    assert [row.setting for row in one[:CELLS:2]] == [
        (one[0].model, "inference", "1", "fp32", "", "None", "", "RTX 3060"),
        (one[0].model, "training", "1", "fp32", "sgd", "1", "none", "RTX 3060"),
        (one[0].model, "training", "1", "fp32", "adamw", "1", "none", "RTX 3060"),
        (one[0].model, "inference", "4", "fp32", "", "None", "", "RTX 3060"),
        (one[0].model, "training", "4", "fp32", "sgd", "1", "none", "RTX 3060"),
        (one[0].model, "training", "4", "fp32", "adamw", "1", "none", "RTX 3060"),
    ]


def test_a_file_is_read_once_for_all_settings_and_once_for_all_copies(
    fleet: Path, opened_by_workers: Callable[[], list[str]]
) -> None:
    shutil.copy(fleet / "w8.onnx", fleet / "copy.onnx")
    rows = list(graphmem.sweep(fleet, GRID))
    assert sorted(opened_by_workers()) == ["copy.onnx", "w16.onnx", "w32.onnx", "x-fixed.onnx"]
    by_name = {
        name: [(r.peak_bytes, r.error) for r in rows if r.model.endswith(name)] for name in ("copy.onnx", "w8.onnx")
    }
    assert by_name["copy.onnx"] == by_name["w8.onnx"]


def test_a_fixed_batch_is_an_error_of_inference_and_counted_again_in_training(fleet: Path) -> None:
    rows = list(graphmem.sweep(fleet / "x-fixed.onnx", {"batch": [3, 6], "mode": ["inference", "training"]}, jobs=0))
    own, step, other, again = rows
    assert own.peak_bytes == graphmem.analyze(fleet / "x-fixed.onnx").peak_with_weights
    assert other.peak_bytes is None
    assert "the file fixes its batch at 3" in other.error
    assert again.peak_bytes == graphmem.train(fleet / "x-fixed.onnx", batch=6).peak
    assert again.peak_bytes > (step.peak_bytes or 0)
    assert "fixes batch 3" in again.note


def test_a_corrupt_model_is_one_error_row_per_setting_and_a_missing_one_too(fleet: Path) -> None:
    (fleet / "a-broken.onnx").write_bytes(b"\x08\x07 this is no model")
    (fleet / "list.txt").write_text(f"# nightly\n{fleet}/a-broken.onnx\n{fleet}/nowhere.onnx\n\n{fleet}/w8.onnx\n")
    broken, missing, sound = graphmem.sweep(f"@{fleet}/list.txt", {"batch": 2}, jobs=0)
    assert "the file is not a readable ONNX file" in broken.error
    assert "No such file" in missing.error
    assert sound.error == ""
    assert sound.complete


def test_a_worker_that_dies_loses_nothing_and_a_model_that_kills_two_is_an_error(
    fleet: Path, opened_by_workers: Callable[[], list[str]]
) -> None:
    grid = {"batch": 4, "mode": ["inference", "training"]}
    whole = timeless(list(graphmem.sweep(fleet, grid, jobs=0)))
    for name in ("dies-once.onnx", "poison.onnx"):
        mlp(fleet / name, 24)  # of two contents
        with (fleet / name).open("ab") as file:
            file.write(b"\x12" + bytes([len(name)]) + name.encode())  # producer_name
    rows = timeless(list(graphmem.sweep(fleet, grid, jobs=2)))
    by_name = {name: [row for row in rows if row.model.endswith(name)] for name in ("dies-once.onnx", "poison.onnx")}
    assert [row for row in rows if row not in by_name["dies-once.onnx"] + by_name["poison.onnx"]] == whole
    assert [row.error for row in by_name["dies-once.onnx"]] == [""] * 2
    assert all("its worker died twice" in row.error for row in by_name["poison.onnx"])
    assert opened_by_workers().count("poison.onnx") <= 2


def test_memory_of_a_worker_is_bounded(tmp_path: Path) -> None:
    mlp(tmp_path / "big.onnx", 6000)  # 144 MB of weights in the file
    mlp(tmp_path / "small.onnx", 8)
    big, small = graphmem.sweep(tmp_path, {"batch": 2}, worker_memory=160 << 20)
    assert "more memory is needed than a worker may have" in big.error
    assert small.complete


def test_progress_counts_rows_failures_and_what_was_known(fleet: Path, tmp_path: Path) -> None:
    seen: list[SweepProgress] = []
    for _ in range(2):
        list(graphmem.sweep(fleet, {"batch": 2}, journal=tmp_path / "j", jobs=0, progress=seen.append))
        assert (seen[-1].rows, seen[-1].done, seen[-1].failed) == (4, 4, 1)
    assert seen[-1].reused == 4


@pytest.mark.parametrize(
    ("paths", "grid", "said"),
    [
        ("{fleet}/*.onnx", {"precision": "fp3"}, "precision 'fp3' is not one of fp32, bf16"),
        ("{fleet}/*.onnx", {"precision": "bf16-amp"}, "precision 'bf16-amp' is none of inference"),
        ("{fleet}/*.onnx", {"precision": "int8", "mode": "training"}, "precision 'int8' is none of training"),
        ("{fleet}/*.onnx", {"accumulate": 2}, "'accumulate' goes with training"),
        ("{fleet}/*.onnx", {"batch": 0}, "batch '0' is not a whole number from 1"),
        ("{fleet}/*.onnx", {"device": "rtx 999"}, "is not in the catalogue"),
        ("{fleet}/*.onnx", {"colour": "red"}, "a grid has no axis 'colour'"),
        ("{fleet}/*.onnx", {"optimizer": "adamw"}, "'optimizer' goes with training"),
        ("{fleet}/*.pt", {}, "names no model file"),
        ("@{fleet}/nowhere.txt", {}, "cannot be read"),
    ],
)
def test_what_cannot_be_asked_is_refused_at_once(fleet: Path, paths: str, grid: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said.replace("*", r"\*")):
        graphmem.sweep(paths.format(fleet=fleet), grid)


@pytest.mark.parametrize(
    ("headroom", "exactness", "fits"),
    [
        (0, "exact", "yes"), (-1, "exact", "no"), (5, "at most", "yes"), (-5, "at most", "unknown"),
        (5, "at least", "unknown"), (-5, "at least", "no"), (None, "exact", ""), (None, "", ""),
    ],
)  # fmt: skip
def test_a_bound_decides_only_what_it_proves(headroom: int | None, exactness: str, fits: str) -> None:
    assert proved(headroom, exactness) == fits


def test_a_url_is_read_where_fsspec_is(fleet: Path) -> None:
    fsspec = pytest.importorskip("fsspec", reason="NO URLS: fsspec is not installed (extra `remote`)")
    memory = fsspec.filesystem("memory")
    memory.pipe("/fleet/w8.onnx", (fleet / "w8.onnx").read_bytes())
    (fleet / "w16.onnx").rename(fleet / "a b.onnx")
    local = list(graphmem.sweep(f"file://{fleet}/a%20b.onnx", {"batch": 2}, jobs=0))
    assert local[0].peak_bytes == graphmem.analyze(fleet / "a b.onnx", batch=2).peak_with_weights
    from graphmem.fleet.files import digest, model_files

    (found,) = model_files(["memory://fleet"])
    assert found.name == "memory://fleet/w8.onnx"
    assert digest(found.location) == digest(str(fleet / "w8.onnx"))
