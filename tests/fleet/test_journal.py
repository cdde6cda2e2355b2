"""The journal: what it holds is not done again, what it cannot vouch for is."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import onnx.helper
import pytest

import graphmem
from graphmem.fleet.figures import Figure
from graphmem.fleet.journal import HEADER, Journal, key_of
from graphmem.fleet.results import read_results
from graphmem.ir.errors import OptionError
from graphmem.ir.fleet import SweepProgress
from tests.fleet.conftest import mlp

FIGURE = Figure(12, 16, "exact", "a note", "", 0.5)


def known(fleet: Path, journal: Path, **how: object) -> int:
    """Rows of a sweep that took no work."""
    seen: list[SweepProgress] = []
    list(graphmem.sweep(fleet, {"batch": 2, "mode": "training"}, journal=journal, jobs=0, progress=seen.append, **how))  # type: ignore[arg-type]
    return seen[-1].reused


def test_a_figure_comes_back_as_it_was(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.add([("k" * 32, FIGURE)])
    journal.close()
    again = Journal(tmp_path / "j")
    assert again.get("k" * 32) == FIGURE
    assert again.get("l" * 32) is None
    again.close()


def test_what_was_torn_or_spoiled_is_done_again_and_nothing_else(fleet: Path, tmp_path: Path) -> None:
    journal = tmp_path / "j"
    assert known(fleet, journal) == 0
    whole = journal.read_bytes()
    for cut in random.Random(9).sample(range(len(HEADER), len(whole)), 5):
        journal.write_bytes(whole[:cut])
        assert known(fleet, journal) == whole[:cut].count(b"\n") - 1
        assert known(fleet, journal) == 4
    lines = whole.splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], b"\x00" * 40 + b"\n", *lines[2:]]))
    assert known(fleet, journal) == 3
    assert known(fleet, journal) == 4


def test_other_settings_another_file_and_errors_on_demand_are_worked_out_anew(fleet: Path, tmp_path: Path) -> None:
    journal = tmp_path / "j"
    (fleet / "broken.onnx").write_bytes(b"no model")
    known(fleet, journal)
    assert known(fleet, journal) == 5
    assert known(fleet, journal, loss="mse") == 0
    assert known(fleet, journal, retry_failed=True) == 4
    mlp(fleet / "w8.onnx", 40)
    assert known(fleet, journal) == 4
    assert known(fleet, journal, fresh=True) == 0


def test_devices_cost_no_figure(fleet: Path, tmp_path: Path) -> None:
    list(graphmem.sweep(fleet, {"batch": 2, "device": "24GB"}, journal=tmp_path / "j", jobs=0))
    size = (tmp_path / "j").stat().st_size
    rows = list(graphmem.sweep(fleet, {"batch": 2, "device": ["rtx 3060", "8GB"]}, journal=tmp_path / "j", jobs=0))
    assert (tmp_path / "j").stat().st_size == size
    assert len(rows) == 8


def test_a_shape_that_lies_beside_the_file_counts_with_it(tmp_path: Path) -> None:
    shape = onnx.helper.make_tensor("shape", onnx.TensorProto.INT64, (1,), (0).to_bytes(8, "little"), raw=True)
    shape.ClearField("raw_data")
    shape.data_location = onnx.TensorProto.EXTERNAL
    shape.external_data.add(key="location", value="shape.bin")
    x, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in (("x", [1]), ("y", None)))
    nodes = [onnx.helper.make_node("Expand", ["x", "shape"], ["y"])]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [x], [y], [shape]))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    peaks = []
    for size in (16, 16, 1024):
        (tmp_path / "shape.bin").write_bytes(size.to_bytes(8, "little"))
        (row,) = graphmem.sweep(tmp_path / "m.onnx", journal=tmp_path / "j", jobs=0)
        peaks.append(row.peak_bytes)
    assert peaks[2] - peaks[1] == 4 * (1024 - 16)  # type: ignore[operator]
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "m.onnx").write_bytes((tmp_path / "m.onnx").read_bytes())
    (tmp_path / "copy" / "shape.bin").write_bytes((8).to_bytes(8, "little"))
    both = [row.peak_bytes for row in graphmem.sweep(tmp_path, journal=tmp_path / "j", jobs=0)]
    assert both == [peaks[1] - 4 * (16 - 8), peaks[2]]  # type: ignore[operator]
    assert peaks[0] == peaks[1] == graphmem.analyze(tmp_path / "m.onnx").peak_with_weights - 4 * (1024 - 16)


def test_two_sweeps_do_not_write_one_journal_and_no_other_file_is_one(tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="NO LOCKS on this system")
    first = Journal(tmp_path / "j")
    with pytest.raises(OptionError, match="another sweep is writing"):
        Journal(tmp_path / "j")
    first.close()
    (tmp_path / "notes").write_text("buy milk\n")
    for is_fresh in (False, True):
        with pytest.raises(OptionError, match="is not a journal"):
            Journal(tmp_path / "notes", is_fresh)
    assert (tmp_path / "notes").read_text() == "buy milk\n"


def test_keys_tell_all_parts_apart() -> None:
    keys = {key_of(a=1, b=2), key_of(a=2, b=1), key_of(a="1", b=2), key_of(a=1), key_of(a=1, b=None)}
    assert len(keys) == 5
    assert key_of(b=2, a=1) == key_of(a=1, b=2)


def test_a_sweep_killed_twice_gives_the_same_file_and_does_no_figure_again(
    tmp_path: Path, opened_by_workers: Callable[[], list[str]]
) -> None:
    folder, out = tmp_path / "many", tmp_path / "out.csv"
    folder.mkdir()
    for width in range(4, 44):
        mlp(folder / f"w{width}.onnx", width)
    command = [sys.executable, "-m", "graphmem", "sweep", str(folder), "--batch", "2", "--train", "--jobs", "1", "-o"]
    journal = tmp_path / "out.csv.journal"
    kills = 0
    for lines in sorted(random.Random(7).sample(range(3, 30), 2)):
        process = subprocess.Popen([*command, str(out)], stderr=subprocess.DEVNULL)
        while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") >= lines):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        assert not out.exists()
    assert kills == 2
    while b"\n" not in journal.read_bytes():  # the workers of the last one end by themselves
        time.sleep(0.001)
    done = journal.read_bytes().count(b"\n") - 1
    before = len(opened_by_workers())
    subprocess.run([*command, str(out)], check=True, capture_output=True)
    left = 40 - done  # what was written down is not done again; an orphan of the last kill may open one file more
    assert left <= len(opened_by_workers()) - before <= left + 1
    assert before <= done + kills  # and of the rest each kill cost the one that was under way
    straight = graphmem.sweep(folder, {"batch": 2, "mode": "training"}, jobs=0)
    assert [replace(row, seconds=0.0) for row in read_results(out)] == [replace(row, seconds=0.0) for row in straight]
