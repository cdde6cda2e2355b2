"""The tab of a training step, end to end in headless Chromium: phases, modules, saved activations, the frontier."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import graphmem
from graphmem.ir.recompute import Course, Frontier, Judged, Operation, Point, Recompute
from graphmem.ir.training import Training
from graphmem.memory.profile import inference_profile
from graphmem.memory.training_profile import training_profile
from graphmem.report.page.curve import Curve, Spot, cheapest_within, curve_of
from graphmem.report.page.page import report_html
from tests.report.browser import CHROMIUM, DRIVER, requests

selenium = pytest.importorskip("selenium", reason="NO BROWSER TESTS: selenium is not installed (extra `test`)")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="NO BROWSER TESTS: chromium and chromedriver are not on this machine"
)
MODEL = Path(__file__).parents[2] / "models" / "resnet18.onnx"
DEVICE = 300 << 20


@pytest.fixture(scope="module")
def training() -> Training:
    return graphmem.train(MODEL, batch=8, optimizer="adamw")


def curve() -> Curve:
    """The frontier, one of its plans made of modules, and a habit."""
    found = curve_of(frontier())
    spots = (*found.spots[:3], replace(found.spots[3], grain="module"))
    return replace(found, spots=spots, habits=(Spot(290 << 20, 0.12, 0.02, "every block", "habit"),))


def frontier() -> Frontier:
    """Keep all: 400 MiB. Two cheaper ones; the second is within the device."""
    question = Recompute((Operation("a", 1, 100), Operation("b", 1, 300, backward=True)), ((), (0,)))

    def judged(mib: int, cost: int) -> Judged:
        return Judged(Course((0, 1), ((), ())), mib << 20, cost, f"strategy {mib}")

    made = [(400, 400, 400), (350, 402, 400), (280, 420, 410), (150, 480, 450)]
    points = tuple(Point(mib << 20, judged(mib, cost), bound) for mib, cost, bound in made)
    return Frontier(question, points[0].judged, points, floor=100 << 20, floor_operation=1)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, training: Training) -> Path:
    analysis, found = graphmem.analyze(MODEL, batch=8), curve()
    profiles = [inference_profile(analysis), training_profile(training)]
    html = report_html(analysis, profiles, DEVICE, training, found, cheapest_within(found.spots, DEVICE))
    path = tmp_path_factory.mktemp("page") / "training.html"
    path.write_text(html, "utf-8")
    return path


@pytest.fixture
def tab(driver: Any, page: Path) -> Any:
    """The section of the training step, opened by a click on its tab."""
    requests(driver)
    driver.get(page.as_uri())
    tabs = driver.find_elements("css selector", "[role=tab]")
    assert [tab.text.split()[0] for tab in tabs] == ["inference", "training"]
    tabs[1].click()
    assert driver.get_log("browser") == []
    assert [url for url in requests(driver) if url != page.as_uri()] == []
    return next(run for run in driver.find_elements("css selector", "section.run") if run.is_displayed())


def all_in(tab: Any, css: str) -> list[Any]:
    return list(tab.find_elements("css selector", css))


def test_the_step_shows_its_peak_its_phases_and_what_they_are_made_of(tab: Any, training: Training) -> None:
    mib = f"{training.peak / (1 << 20):.2f} MiB"
    assert mib in tab.find_element("css selector", ".cards .lead").text
    assert all_in(tab, "text.stemtext")[0].text.startswith(f"{mib} at step {training.timeline.peak_step}")
    assert len(all_in(tab, "line.phase")) == 2 + 1  # backward, optimizer; the floor of the frontier
    legend = tab.find_element("css selector", "[data-part=bands]").text
    for kind, name in (("optimizer_state", "optimizer state"), ("gradients", "gradient"), ("parameters", "parameter")):
        assert f"{name} {training.breakdown[kind] / (1 << 20):.2f} MiB" in legend
    assert "saved activation" in legend


def test_an_optimizer_of_many_calls_leaves_room_for_the_rest(driver: Any, tab: Any) -> None:
    assert tab.is_displayed()
    script = """const at = current.charts[0].paper(), { steps } = current.run;
    const first = steps.findIndex((step) => step.phase === "optimizer");
    const share = (at.x(steps.length) - at.x(first)) / at.inner;
    return [share, at.step(at.x(first + 3.25)) - first, first / steps.length];"""
    share, back, of_steps = driver.execute_script(script)
    assert (round(share, 3), round(back, 3)) == (0.2, 3.25)
    assert of_steps < 0.6
    assert "optimizer drawn" in tab.find_element("css selector", "[data-part=timeline]").text


def test_the_largest_saved_activations_are_listed_and_picked(tab: Any, training: Training) -> None:
    lines = all_in(tab, "[data-part=saved] button")
    sizes = [f"{row.nbytes / (1 << 20):.2f} MiB" for row in training.saved]
    assert [line.find_element("css selector", "b").text for line in lines] == sizes
    lines[3].click()
    assert "on" in lines[3].get_attribute("class")
    assert training.saved[3].name in tab.parent.find_element("id", "detail").text
    assert len(all_in(tab, "[data-part=tensors] tr.on")) == 1
    assert all_in(tab, "[data-part=modules] .picked")
    assert all_in(tab, "[data-part=timeline] .span")


def test_a_module_holds_its_parameters_gradients_and_state(driver: Any, tab: Any) -> None:
    script = """const scope = current.run.scopes.find((s) => s.path === "layer4.1.conv2");
    current.pickScope(scope);
    const kinds = new Set(current.run.rowsOn.map((row) => row.kind));
    return [[...kinds].sort(), scope.weights];"""
    kinds, weights = driver.execute_script(script)
    assert {"parameter", "gradient", "optimizer_state", "saved activation"} <= set(kinds)
    assert weights == 4 * (512 * 512 * 9 * 4) + 4  # weight, gradient and two moments in float32, and the step counter
    assert all_in(tab, "[data-part=tensors] tr.on")


def test_the_table_filters_what_waits_for_the_backward_pass(tab: Any, training: Training) -> None:
    assert training.details is not None
    tab.find_element("css selector", "[data-part=which] option[value=saved]").click()
    assert len(all_in(tab, "[data-part=tensors] tbody tr")) == len(training.details.saved)


def test_the_frontier_marks_the_cheapest_point_that_fits(tab: Any) -> None:
    chart = tab.find_element("css selector", "[data-part=frontier]")
    assert len(all_in(chart, ".point")) == 4
    assert len(all_in(chart, ".point.chosen")) == len(all_in(chart, ".halo")) == 1
    assert chart.find_element("css selector", ".stemtext").text == "280.00 MiB for 5.00 % more computing"
    marked = tab.find_element("css selector", "[data-part=points] tr.on").text
    assert marked == "strategy 280, chosen 280.00 MiB 70 % any operation 5.00 % 2.50 %"
    assert len(all_in(chart, ".habit")) == len(all_in(chart, ".point.module")) == 1
    assert len(all_in(tab, "[data-part=points] tbody tr")) == 5


def test_keys_dark_and_print_work_there_too(driver: Any, tab: Any) -> None:
    body = driver.find_element("css selector", "body")
    body.send_keys("p")
    assert f"step {driver.execute_script('return current.run.peakStep')}:" in driver.find_element("id", "detail").text
    body.send_keys("+")
    assert tab.get_attribute("data-zoom") != "all"
    driver.find_element("id", "theme").click()
    assert driver.execute_script("return document.documentElement.dataset.theme") == "dark"
    body.send_keys("t")
    assert not tab.is_displayed()
    body.send_keys("t")
    assert tab.is_displayed()
    pdf = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert pdf.startswith(b"%PDF")
