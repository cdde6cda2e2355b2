"""`graphmem sweep`: results files that say the same, resumed runs, summaries, exit codes, a page in a browser."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import graphmem
from graphmem.fleet.overview import changes, overview
from graphmem.fleet.results import read_results, results_file
from graphmem.ir.errors import OptionError
from graphmem.ir.fleet import CHANGES, COLUMNS, SweepProgress, SweepRecord
from graphmem.report.fleet import fleet_text
from graphmem.report.page.fleet import fleet_html
from tests.conftest import Finished
from tests.report.browser import CHROMIUM, DRIVER, opened, requests

Command = Callable[..., Finished]
GRID = {"batch": [2, 64], "mode": ["inference", "training"], "device": ["40MiB", "rtx 3060"]}


@pytest.fixture
def rows(fleet: Path) -> list[SweepRecord]:
    (fleet / "broken.onnx").write_bytes(b"no model")
    return list(graphmem.sweep(fleet, GRID, jobs=0))


def test_results_come_back_from_every_format_as_they_were(rows: list[SweepRecord], tmp_path: Path) -> None:
    odd = replace(rows[0], model='a,"b"\u2028;=1+1', note="línea\tté", error="")
    for suffix in (".csv", ".json", ".parquet"):
        if suffix == ".parquet":
            pytest.importorskip("pyarrow", reason="NO PARQUET: pyarrow is not installed (extra `parquet`)")
        with results_file(tmp_path / f"r{suffix}") as add:
            for row in [odd, *rows]:
                add(row)
        assert read_results(tmp_path / f"r{suffix}") == [odd, *rows]


def test_without_pyarrow_a_parquet_file_names_the_extra(
    fleet: Path, tmp_path: Path, graphmem_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    ended = graphmem_command("sweep", fleet, "-o", tmp_path / "r.parquet")
    assert (ended.code, "pip install 'graphmem[parquet]'" in ended.err) == (2, True)


def test_a_results_file_is_replaced_whole_or_not_at_all(rows: list[SweepRecord], tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("old\n")
    with pytest.raises(KeyboardInterrupt), results_file(tmp_path / "r.csv") as add:  # noqa: PT012
        add(rows[0])
        raise KeyboardInterrupt
    assert (tmp_path / "r.csv").read_text() == "old\n"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    with pytest.raises(OptionError, match="is not a results file"):
        read_results(tmp_path / "r.csv")


def test_the_command_writes_what_python_gives_and_goes_on_where_it_was(
    fleet: Path, tmp_path: Path, graphmem_command: Command
) -> None:
    out = tmp_path / "r.json"
    words = [fleet, "--batch", "2,64", "--train", "--inference", "--device", "40MiB, rtx3060", "--jobs", "1", "-o", out]
    first = graphmem_command("sweep", *words)
    assert first.code == 0
    assert "4 models, 32 rows -> " in first.out
    assert "failed" in first.err
    document = json.loads(out.read_text())
    schema = json.loads(graphmem_command("schema", "sweep").out)
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
    straight = [replace(row, seconds=0.0) for row in graphmem.sweep(fleet, GRID, jobs=0)]
    assert [replace(row, seconds=0.0) for row in read_results(out)] == straight
    again = graphmem_command("sweep", *words, "--strict")
    assert "32 known" in again.err
    assert again.code == 3  # a forward run of another batch than the file fixes
    assert json.loads(out.read_text()) == document


def test_without_an_output_rows_go_to_stdout_and_words_to_stderr(fleet: Path, graphmem_command: Command) -> None:
    ended = graphmem_command("sweep", fleet / "w8.onnx", "--batch", "1,2", "--jobs", "1")
    table = list(csv.DictReader(io.StringIO(ended.out)))
    assert tuple(table[0]) == COLUMNS
    assert [row["batch"] for row in table] == ["1", "2"]
    assert "1 models, 2 rows" in ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--batch", "two"], "batch 'two' is not a whole number"),
        (["-o", "r.txt"], "must end in .csv, .json, .parquet"),
        (["--baseline", "nowhere.csv"], "cannot be read"),
        (["--checkpoint", "blocks"], "'checkpoint' goes with training"),
    ],
)
def test_wrong_usage_is_one_line(fleet: Path, graphmem_command: Command, words: list[str], said: str) -> None:
    ended = graphmem_command("sweep", fleet, *words)
    assert ended.code == 2
    assert said in ended.err
    assert ended.err.count("\n") == 1


def test_the_summary_fits_the_terminal(rows: list[SweepRecord]) -> None:
    text = fleet_text(overview(rows, rows[3:]), "r.csv")
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "RTX 3060   11.31 GiB" in text
    assert "changed since the baseline: 3 new" in text


def test_what_changed_is_told_by_what_came_out(rows: list[SweepRecord]) -> None:
    row = next(row for row in rows if row.fits == "yes" and row.peak_bytes)
    peak = row.peak_bytes or 0
    cases = {
        "fails": replace(row, error="no", peak_bytes=None, fits="", exactness=""),
        "no longer fits": replace(row, fits="unknown", peak_bytes=peak + 1),
        "grew": replace(row, peak_bytes=peak + 1),
        "shrank": replace(row, peak_bytes=peak - 1),
        "proves less": replace(row, exactness="at most"),
        "gone": None,
        "": replace(row, seconds=9.0, version="9", hash="0"),
    }
    for what, now in cases.items():
        assert [c.what for c in changes([now] if now else [], [row])] == ([what] if what else [])
    back = {
        "fails": "mended",
        "no longer fits": "now fits",
        "grew": "shrank",
        "shrank": "grew",
        "proves less": "proves more",
    }
    for what, then in back.items():
        now = cases[what]
        assert now is not None
        assert [c.what for c in changes([row], [now])] == [then]
    assert {*cases, *back.values(), "new"} - {""} == set(CHANGES)


def test_rate_and_time_left_count_only_what_was_worked_out() -> None:
    state = SweepProgress(rows=1000, done=600, failed=1, reused=500, elapsed=10.0)
    assert state.rate == (600 - 500) / 10
    assert state.eta == (1000 - 600) / 10
    assert SweepProgress(rows=10, done=10, reused=10, elapsed=1.0).eta is None


pytest_selenium = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="NO BROWSER TESTS: chromium and chromedriver are not on this machine"
)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Any]:
    pytest.importorskip("selenium", reason="NO BROWSER TESTS: selenium is not installed (extra `test`)")
    made = opened(tmp_path / "profile")
    yield made
    made.quit()


@pytest_selenium
def test_the_page_sorts_filters_and_loads_nothing(rows: list[SweepRecord], driver: Any, tmp_path: Path) -> None:
    hostile = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"
    given = [*rows, replace(rows[-1], model=f"{rows[-1].model}{hostile}", error=hostile)]
    page = tmp_path / "fleet.html"
    page.write_text(fleet_html(given, overview(given, rows[2:])), "utf-8")
    requests(driver)
    driver.get(page.as_uri())
    assert driver.get_log("browser") == []
    assert [url for url in requests(driver) if url != page.as_uri()] == []
    assert driver.title == "fleet · graphmem"

    def lines(part: str) -> list[str]:
        return [row.text for row in driver.find_elements("css selector", f"[data-part={part}] tbody tr")]

    assert len(lines("rows")) == len(given)
    assert hostile in driver.find_element("css selector", "[data-part=rows]").text
    assert len(lines("changes")) == 2 + 1  # two rows more than the baseline, and the hostile one
    batch = driver.find_elements("css selector", "[data-part=rows] th button")[1]
    batch.click()
    batch.click()
    shown = [int(cell.text) for cell in driver.find_elements("css selector", "[data-part=rows] td:nth-child(2)")]
    assert shown == sorted(shown)
    assert len(set(shown)) == 2
    driver.find_element("css selector", "[data-part=by-mode] option[value=training]").click()
    driver.find_element("css selector", "[data-part=filter]").send_keys("w16 rtx")
    assert len(lines("rows")) == 2
    assert driver.find_element("css selector", "[data-part=count]").text.startswith("2 of ")
    driver.find_element("css selector", "[data-part=fits-filter]").send_keys("w32 training")
    (line,) = lines("fits")
    trained = [row for row in rows if row.mode == "training" and "w32" in row.model and row.fits == "yes"]
    fits = [
        max((row.batch or 0 for row in trained if row.device == device), default="none")
        for device in ("40MiB", "RTX 3060")
    ]
    assert line.split()[-2:] == [str(value) for value in fits]
    driver.find_element("css selector", "[data-part=rows] tbody tr").click()
    assert "w16.onnx" in driver.find_element("id", "detail").text
